import { createServer, type IncomingMessage, type Server } from 'node:http';
import { bringsToken, readToken } from '../control/bearer.ts';
import { type Alert, alertmanagerMessage } from '../protocol/alerts.ts';

const MAX_BYTES = 1024 * 1024;
/** How long a request may take, ms. */
const REQUEST_MS = 10_000;

/** Where Alertmanager posts to, from `agent.yaml`. */
export interface AlertListener {
  readonly host: string;
  readonly port: number;
  readonly tokenFile: string;
}

/**
 * Listens for Alertmanager's webhook: `POST /v1/alerts` with `Authorization: Bearer TOKEN`. Nothing
 * else is answered there.
 * @throws ZDD_AGENT_CONFIG_INVALID when the token cannot be read or is too short; the listener's error
 */
export async function listenForAlerts(
  { host, port, tokenFile }: AlertListener,
  take: (alerts: readonly Alert[]) => void,
): Promise<Server> {
  const token = await readToken(tokenFile, 'alerts.token_file');
  const server = createServer({ requestTimeout: REQUEST_MS }, (request, response) => {
    answer(request, token, take).then(
      (status) => response.writeHead(status, { connection: 'close' }).end(),
      () => response.destroy(),
    );
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, host, resolve);
  await promise;
  return server;
}

async function answer(
  request: IncomingMessage,
  token: string,
  take: (alerts: readonly Alert[]) => void,
): Promise<number> {
  if (request.url !== '/v1/alerts') return 404;
  if (request.method !== 'POST') return 405;
  if (!bringsToken(request, token)) return 401;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) return 400;
    bytes += chunk.length;
    if (bytes > MAX_BYTES) return 413;
    chunks.push(chunk);
  }
  const message = alertmanagerMessage.safeParse(parsed(Buffer.concat(chunks).toString()));
  if (!message.success) return 400;
  take(message.data.alerts);
  return 200;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type Alert, alertmanagerMessage } from '../protocol/alerts.ts';
import { ZddError } from '../protocol/errors.ts';

const MAX_BYTES = 1024 * 1024;
const SHORTEST_TOKEN = 16;
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
  const token = await readToken(tokenFile);
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
  const [, given = ''] = /^Bearer (.+)$/.exec(request.headers.authorization ?? '') ?? [];
  if (!isSame(given, token)) return 401;
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

/** Takes as long whatever is given. */
function isSame(given: string, token: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

async function readToken(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new ZddError('ZDD_AGENT_CONFIG_INVALID', `alerts.token_file cannot be read: ${file}`, {
      cause,
    });
  });
  const token = text.trim();
  if (token.length >= SHORTEST_TOKEN) return token;
  throw new ZddError(
    'ZDD_AGENT_CONFIG_INVALID',
    `the token in ${file} is shorter than ${SHORTEST_TOKEN} characters`,
    { tries: [`openssl rand -hex 24 > ${file}`] },
  );
}

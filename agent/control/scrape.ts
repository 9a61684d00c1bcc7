import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { METRICS_TYPE } from '../protocol/metrics.ts';
import { bringsToken, readToken } from './bearer.ts';

/** How long a request may take to come, ms. */
const REQUEST_MS = 10_000;
/** Scrapers are few. */
const MOST_CONNECTIONS = 16;

/** Where Prometheus scrapes, from `agent.yaml`. */
export interface ScrapeListener {
  readonly host: string;
  readonly port: number;
  /** Null on the loopback alone: everybody of the host may read them. */
  readonly tokenFile: string | null;
}

/**
 * Answers `GET /metrics` by TCP with what the control socket answers at `/v1/metrics`, and nothing
 * else: to everybody there, or to who brings the token.
 * @throws ZDD_AGENT_CONFIG_INVALID when the token cannot be read or is too short; the listener's error
 */
export async function listenForScrapes(
  { host, port, tokenFile }: ScrapeListener,
  control: FastifyInstance,
): Promise<Server> {
  const token = tokenFile === null ? null : await readToken(tokenFile, 'metrics.token_file');
  const server = createServer({ requestTimeout: REQUEST_MS }, (request, response) => {
    const status = judge(request, token);
    if (status !== 200) {
      response.writeHead(status, { connection: 'close' }).end();
      return;
    }
    control.inject('/v1/metrics').then(
      ({ statusCode, body }) =>
        response.writeHead(statusCode, { 'content-type': METRICS_TYPE }).end(body),
      () => response.destroy(),
    );
  });
  server.maxConnections = MOST_CONNECTIONS;
  server.listen(port, host);
  await once(server, 'listening');
  return server;
}

function judge(request: IncomingMessage, token: string | null): number {
  if (request.url?.split('?', 1)[0] !== '/metrics') return 404;
  if (request.method !== 'GET') return 405;
  return token === null || bringsToken(request, token) ? 200 : 401;
}

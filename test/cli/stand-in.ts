import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { errorReply } from '../../agent/protocol/api.ts';
import { API_HEADER, API_VERSION } from '../../agent/protocol/contact.ts';
import type { ErrorBody } from '../../agent/protocol/errors.ts';
import { event, type ZddEvent } from '../../agent/protocol/events.ts';

/** What one route answers. */
export type Answer = (
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
) => void | Promise<void>;

/**
 * A real HTTP server on a real unix socket that says what a test wants the CLI to hear. It speaks
 * the schemas of `agent/protocol/`; what a daemon does behind them is not its business.
 */
export interface StandIn {
  readonly socket: string;
  /** `GET /v1/apps/shop?x=1`, in the order they came. */
  readonly requests: string[];
  /** Bodies of POST requests, by path, as they came. */
  readonly bodies: Map<string, Buffer>;
  readonly headers: Map<string, IncomingMessage['headers']>;
  /** What each answer says of the API; null: an agent of before 0.2, which does not say. */
  api: number | null;
  on(route: string, answer: Answer): void;
  /** Connections that are open now. */
  connections(): Promise<number>;
  close(): Promise<void>;
}

export async function standIn(socket: string): Promise<StandIn> {
  const routes = new Map<string, Answer>();
  const requests: string[] = [];
  const bodies = new Map<string, Buffer>();
  const headers = new Map<string, IncomingMessage['headers']>();
  const server: Server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://agent');
    requests.push(`${request.method} ${url.pathname}${url.search}`);
    headers.set(url.pathname, request.headers);
    if (self.api !== null) response.setHeader(API_HEADER, self.api);
    const answer = routes.get(`${request.method} ${url.pathname}`);
    if (!answer) return json(response, 404, refusal('ZDD_BUG', `no route ${url.pathname}`));
    Promise.resolve(answer(request, response, url)).catch((cause: unknown) => {
      response.destroy(cause instanceof Error ? cause : new Error(String(cause)));
    });
  });
  // A CLI that leaves a connection open hangs for ever here, and not only for some seconds.
  server.keepAliveTimeout = 0;
  const self: StandIn = {
    socket,
    requests,
    bodies,
    headers,
    api: API_VERSION,
    on: (route, answer) => void routes.set(route, answer),
    connections: () =>
      new Promise((resolve, reject) => {
        server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
      }),
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  self.on('GET /v1/version', replies(VERSION));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(socket, resolve);
  });
  return self;
}

export const VERSION = {
  agent: '0.1.0',
  api: API_VERSION,
  haproxy: '2.6.12',
  runner: 'process',
  pid: 4711,
};

export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

export function replies(body: unknown, status = 200): Answer {
  return (_request, response) => json(response, status, body);
}

export function refusal(code: ErrorBody['code'], message: string, more: Partial<ErrorBody> = {}) {
  return errorReply.parse({ error: { code, message, evidence: [], tries: [], ...more } });
}

/** Answers with an error, as the daemon does. */
export function refuses(status: number, ...body: Parameters<typeof refusal>): Answer {
  return replies(refusal(...body), status);
}

/** Reads the whole body and answers as the daemon does for a good artifact. */
export function takesArtifacts(agent: StandIn): Answer {
  return async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    agent.bodies.set('/v1/artifacts', body);
    json(response, 200, {
      artifact: request.headers['x-zdd-sha256'],
      bytes: body.length,
      reused: false,
    });
  };
}

export async function readJson(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return JSON.parse(text);
}

/** Streams events that match the query, and then stays open, as the daemon does when followed. */
export function streams(events: readonly ZddEvent[]): Answer {
  for (const each of events) event.parse(each);
  return (_request, response, url) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const since = Number(url.searchParams.get('since') ?? 0);
    for (const each of events) {
      if (each.seq > since) response.write(`${JSON.stringify(each)}\n`);
    }
    if (url.searchParams.get('follow') !== '1') response.end();
  };
}

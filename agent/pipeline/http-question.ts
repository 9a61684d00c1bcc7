import { type IncomingHttpHeaders, request } from 'node:http';
import type { Listen } from '../runner/runner.ts';

/** Another place than an instance's own socket. */
export interface Address {
  readonly kind: 'address';
  readonly host: string;
  readonly port: number;
}

/** One request, as a rule to an instance on its own socket. */
export interface Question {
  readonly listen: Listen | Address;
  readonly method: string;
  readonly path: string;
  /** Beside `host`, `user-agent` and `connection`, or instead of them; names in small letters. */
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON text, unless the headers say what else. */
  readonly body?: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** What came back. `error` holds the errno where nothing did. */
export type Answer =
  | {
      readonly got: 'answer';
      readonly status: number;
      /** What the app says it is, by the header `x-zdd-release`. */
      readonly release: string | undefined;
      readonly headers: IncomingHttpHeaders;
      /** The first 64 KiB of the body. */
      readonly body: string;
      readonly ms: number;
    }
  | { readonly got: 'nothing'; readonly error: string; readonly ms: number };

const BODY_LIMIT = 64 * 1024;

/** Asks on a fresh connection, so that the answer is about now and about this socket. */
export async function ask(question: Question): Promise<Answer> {
  const { listen, method, path, headers, body, timeoutMs, signal } = question;
  if (listen.kind === 'none') throw new Error('an instance that does not listen cannot be asked');
  const started = performance.now();
  const took = (): number => performance.now() - started;
  const place = placeOf(listen);
  const deadline = AbortSignal.timeout(timeoutMs);
  return await new Promise<Answer>((resolve, reject) => {
    const fail = (error: unknown): void => {
      if (signal.aborted) reject(signal.reason);
      else resolve({ got: 'nothing', error: describe(error, deadline, timeoutMs), ms: took() });
    };
    const outgoing = request(
      {
        ...place,
        method,
        path,
        agent: false,
        headers: {
          host: 'localhost',
          'user-agent': 'zdd-agent-probe',
          connection: 'close',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        signal: AbortSignal.any([signal, deadline]),
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        let size = 0;
        incoming.on('data', (chunk: Buffer) => {
          if (size < BODY_LIMIT) chunks.push(chunk);
          size += chunk.length;
        });
        incoming.on('error', fail);
        incoming.on('end', () => {
          const release = incoming.headers['x-zdd-release'];
          resolve({
            got: 'answer',
            status: incoming.statusCode ?? 0,
            release: typeof release === 'string' ? release : undefined,
            headers: incoming.headers,
            body: Buffer.concat(chunks).subarray(0, BODY_LIMIT).toString('utf8'),
            ms: took(),
          });
        });
      },
    );
    outgoing.on('error', fail);
    outgoing.end(body);
  });
}

function placeOf(listen: Exclude<Question['listen'], { kind: 'none' }>) {
  switch (listen.kind) {
    case 'unix':
      return { socketPath: listen.path };
    case 'tcp':
      return { host: '127.0.0.1', port: listen.port };
    case 'address':
      return { host: listen.host, port: listen.port };
  }
}

function describe(error: unknown, deadline: AbortSignal, timeoutMs: number): string {
  if (deadline.aborted) return `no answer within ${timeoutMs} ms`;
  if (error instanceof Error && 'code' in error) return String(error.code);
  return error instanceof Error ? error.message : String(error);
}

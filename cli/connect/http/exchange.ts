import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { ZddError } from '../../../agent/protocol/errors.ts';
import { claims } from '../claims.ts';
import type { RequestOptions, Upload } from '../connection.ts';
import { type Watch, watchdog } from './watchdog.ts';
import type { Way } from './way.ts';

// Importing node:http as a module makes Node load its fetch client as well, a tenth of the time a
// command has for its first line.
export const { request: httpRequest } = process.getBuiltinModule('node:http');

/** How long an answer may take to begin, ms. Every verb of the agent answers at once. */
export const ANSWER_MS = 15_000;
/** How long an upload may stand still, ms. The disk of a small VPS can stall for a while. */
const UPLOAD_STALL_MS = 60_000;

/** A request whose answer has begun. */
export interface Exchange {
  readonly response: IncomingMessage;
  readonly watch: Watch;
  close(): void;
}

/** What is asked of an agent. */
export interface Asked {
  readonly method: 'GET' | 'POST';
  /** Path and query. */
  readonly target: string;
  readonly options: RequestOptions;
  /** Called when the request has left: nothing is left to do but wait. */
  readonly idle?: () => void;
}

/**
 * Sends one request and resolves with the head of the answer, whatever its status.
 * @throws as `failure`
 */
export async function exchange(way: Way, asked: Asked): Promise<Exchange> {
  await way.ready(asked.options.signal, asked.idle ?? (() => {}));
  try {
    return await sendOnce(way, way.dial(asked.method), asked);
  } catch (cause) {
    if (!(cause instanceof Stale)) throw cause;
    // All that were kept may be as old as the one that failed: now one that nobody has used.
    return await sendOnce(way, way.dial('POST'), asked);
  }
}

/** What to throw for what went wrong under way: why it was ended, if it was, and else what `way` says. */
export function failure(way: Way, cause: unknown, watch: Watch): unknown {
  if (watch.expired) return way.silent(watch.deadlineMs);
  if (watch.signal.aborted) return watch.signal.reason;
  return cause instanceof ZddError ? cause : way.unreachable(cause);
}

/** A kept connection was closed by the agent at the moment of our request. */
class Stale extends Error {}

function sendOnce(
  way: Way,
  dialled: ReturnType<Way['dial']>,
  { method, target, options, idle }: Asked,
): Promise<Exchange> {
  const { upload, signal } = options;
  const watch = watchdog(options.deadlineMs ?? (upload ? UPLOAD_STALL_MS : ANSWER_MS), signal);
  return new Promise((resolve, reject) => {
    const json = options.body === undefined ? undefined : JSON.stringify(options.body);
    const request = httpRequest({
      ...dialled,
      path: target,
      method,
      signal: watch.signal,
      headers: {
        host: 'zdd-agent',
        accept: 'application/json',
        ...(method === 'POST' ? claims() : {}),
        ...(json === undefined ? {} : jsonHeaders(json)),
        ...(upload === undefined ? {} : uploadHeaders(upload)),
        ...options.headers,
      },
    });
    if (idle !== undefined) request.once('finish', idle);
    let answered = false;
    request.on('error', (cause) => {
      if (answered) return;
      watch.stop();
      const stale = way.reuses && request.reusedSocket && !watch.signal.aborted;
      reject(stale ? new Stale() : failure(way, cause, watch));
    });
    request.on('response', (response) => {
      answered = true;
      const close = () => {
        watch.stop();
        // The request and not the answer: an answer that is complete leaves its connection open,
        // and with it this process.
        request.destroy();
      };
      resolve({ response, watch, close });
    });
    if (upload === undefined) {
      request.end(json);
      return;
    }
    sendUpload(request, upload, watch, () => answered).catch((cause: unknown) => {
      // The agent may refuse before it has everything: its answer says more than our EPIPE.
      if (answered) return;
      watch.stop();
      reject(failure(way, cause, watch));
    });
  });
}

function jsonHeaders(json: string): OutgoingHttpHeaders {
  return { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) };
}

function uploadHeaders({ bytes }: Upload): OutgoingHttpHeaders {
  return {
    // Told to close, the agent would do so right after refusing, with our bytes unread: its answer
    // would be lost in the reset. We close once we have read it.
    connection: 'keep-alive',
    'content-type': 'application/octet-stream',
    ...(bytes === undefined ? { 'transfer-encoding': 'chunked' } : { 'content-length': bytes }),
  };
}

async function sendUpload(
  request: ClientRequest,
  upload: Upload,
  watch: Watch,
  answered: () => boolean,
): Promise<void> {
  let sent = 0;
  await pipeline(
    upload.open(),
    async function* untilAnswered(chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        if (answered()) return;
        yield chunk;
        watch.touch();
        sent += chunk.length;
        upload.onSent?.(sent);
      }
    },
    request,
  );
}

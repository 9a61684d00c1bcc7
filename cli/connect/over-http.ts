import type { ClientRequest, RequestOptions as HttpOptions, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { API_HEADER } from '../../agent/protocol/contact.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import { claims } from './claims.ts';
import type { Connection, Query, Reply, RequestOptions } from './connection.ts';
import { NotNdjson, parseNdjson } from './ndjson.ts';
import { RefusedByAgent } from './refused-by-agent.ts';

// Importing node:http as a module makes Node load its fetch client as well, a tenth of the time a
// command has for its first line.
const { request: httpRequest } = process.getBuiltinModule('node:http');

/** How long an answer may take to begin, ms. Every verb of the agent answers at once. */
const ANSWER_MS = 15_000;
/** How long an upload may stand still, ms. The disk of a small VPS can stall for a while. */
const UPLOAD_STALL_MS = 60_000;
/** How bytes get to an agent, and what is said when they do not. */
export interface Way {
  readonly where: string;
  readonly canBeCut: boolean;
  /**
   * Connects, as far as that can be done beforehand: the deadlines of requests begin after it.
   * @param idle called when it is the other side's turn and that will take it some time, if ever
   */
  ready(signal: AbortSignal | undefined, idle: () => void): Promise<void>;
  /** What node:http needs to find its connection. */
  dial(method: 'GET' | 'POST'): Pick<HttpOptions, 'socketPath' | 'agent' | 'createConnection'>;
  /** Whether a connection that was used before may have been closed under this request. */
  readonly reuses: boolean;
  /** @param cause what node:http says */
  unreachable(cause: unknown): ZddError;
  silent(deadlineMs: number): ZddError;
  notUnderstood(request: string, why: string): ZddError;
  close(): void;
}

/** HTTP over any way to an agent. */
export function overHttp(way: Way): Connection {
  let api: number | null = null;

  /** Sends one request and resolves with the head of the answer, whatever its status. */
  async function send(
    method: 'GET' | 'POST',
    target: string,
    options: RequestOptions,
    idle: () => void = () => {},
  ): Promise<Exchange> {
    await way.ready(options.signal, idle);
    try {
      return await sendOnce(way.dial(method), method, target, options, idle);
    } catch (cause) {
      if (!(cause instanceof Stale)) throw cause;
      // All that were kept may be as old as the one that failed: now one that nobody has used.
      return await sendOnce(way.dial('POST'), method, target, options, idle);
    }
  }

  function sendOnce(
    dialled: ReturnType<Way['dial']>,
    method: 'GET' | 'POST',
    target: string,
    options: RequestOptions,
    idle: () => void,
  ): Promise<Exchange> {
    const watch = watchdog(
      options.deadlineMs ?? (options.upload ? UPLOAD_STALL_MS : ANSWER_MS),
      options.signal,
    );
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
          ...(json === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) }),
          ...(options.upload
            ? {
                // Told to close, the agent would do so right after refusing, with our bytes unread:
                // its answer would be lost in the reset. We close once we have read it.
                connection: 'keep-alive',
                'content-type': 'application/octet-stream',
                ...(options.upload.bytes === undefined
                  ? { 'transfer-encoding': 'chunked' }
                  : { 'content-length': options.upload.bytes }),
              }
            : {}),
          ...options.headers,
        },
      });
      request.once('finish', idle);
      let answered = false;
      request.on('error', (cause) => {
        if (answered) return;
        watch.stop();
        const stale = way.reuses && request.reusedSocket && !watch.signal.aborted;
        reject(stale ? new Stale() : failure(cause, watch));
      });
      request.on('response', (response) => {
        answered = true;
        api = numberOf(response.headers[API_HEADER]);
        const close = () => {
          watch.stop();
          // The request and not the answer: an answer that is complete leaves its connection open,
          // and with it this process.
          request.destroy();
        };
        resolve({ response, watch, close });
      });
      if (options.upload) {
        sendUpload(request, options.upload, watch, () => answered).catch((cause: unknown) => {
          // The agent may refuse before it has everything: its answer says more than our EPIPE.
          if (answered) return;
          watch.stop();
          reject(failure(cause, watch));
        });
      } else {
        request.end(json);
      }
    });
  }

  function failure(cause: unknown, watch: Watch): unknown {
    if (watch.expired) return way.silent(watch.deadlineMs);
    if (watch.signal.aborted) return watch.signal.reason;
    return cause instanceof ZddError ? cause : way.unreachable(cause);
  }

  /** Reads the whole answer. @throws the agent's error when it is one. */
  async function readReply(what: string, { response, watch, close }: Exchange) {
    try {
      let text = '';
      response.setEncoding('utf8');
      for await (const chunk of response) text += String(chunk);
      const status = response.statusCode ?? 0;
      const isText = response.headers['content-type']?.startsWith('text/plain') === true;
      const value = isText
        ? text
        : parse(text, (why) => way.notUnderstood(what, `HTTP ${status}: ${why}`));
      if (status >= 200 && status < 300) return value;
      throw await refusal(value, status, what);
    } catch (cause) {
      throw failure(cause, watch);
    } finally {
      close();
    }
  }

  async function refusal(value: unknown, status: number, what: string): Promise<ZddError> {
    const { errorReply } = await import('../../agent/protocol/api.ts');
    const known = errorReply.safeParse(value);
    if (known.success) return new RefusedByAgent(known.data.error);
    // The agent's server turns away what comes while it closes, in words of its own.
    if (status === 503) {
      return new ZddError('ZDD_AGENT_BUSY', 'the agent is stopping', {
        tries: ['zdd-agent status'],
      });
    }
    return way.notUnderstood(what, `HTTP ${status}: ${JSON.stringify(value).slice(0, 300)}`);
  }

  return {
    where: way.where,
    api: () => api,
    canBeCut: way.canBeCut,

    async request<T>(
      method: 'GET' | 'POST',
      target: string,
      reply: Reply<T>,
      options: RequestOptions = {},
    ): Promise<T> {
      const what = `${method} ${target}`;
      let brought: ReturnType<Reply<T>> | undefined;
      const bring = () => {
        brought ??= reply();
        return brought;
      };
      const exchange = await send(method, withQuery(target, options.query), options, bring);
      const value = await readReply(what, exchange);
      const checked = (await bring()).safeParse(value);
      if (checked.success) return checked.data;
      const issue = checked.error.issues[0];
      throw way.notUnderstood(what, `${issue?.path.join('.')}: ${issue?.message}`);
    },

    async *stream(target, options = {}) {
      const what = `GET ${target}`;
      const exchange = await send('GET', withQuery(target, options.query), {
        headers: { accept: 'application/x-ndjson' },
        ...(options.patient ? { deadlineMs: Number.POSITIVE_INFINITY } : {}),
        ...(options.signal ? { signal: options.signal } : {}),
      });
      const { response, watch } = exchange;
      if (response.statusCode !== 200) {
        await readReply(what, exchange);
        throw way.notUnderstood(what, `HTTP ${response.statusCode} to a stream`);
      }
      // From here silence is normal: nothing may happen for hours.
      watch.disarm();
      try {
        response.setEncoding('utf8');
        yield* parseNdjson(response);
      } catch (cause) {
        if (cause instanceof NotNdjson) throw way.notUnderstood(what, cause.message);
        // Half a line is how a cut stream looks when the agent dies while writing it.
        throw failure(cause, watch);
      } finally {
        exchange.close();
      }
    },

    async upgrade(target, protocol, signal) {
      await way.ready(signal, () => {});
      const watch = watchdog(ANSWER_MS, signal);
      const what = `GET ${target}`;
      const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
      const request = httpRequest({
        // As for what must not be repeated: a connection that nobody has used before.
        ...way.dial('POST'),
        path: target,
        method: 'GET',
        signal: watch.signal,
        headers: {
          host: 'zdd-agent',
          connection: 'Upgrade',
          upgrade: protocol,
          ...claims(),
        },
      });
      request.on('error', (cause) => reject(failure(cause, watch)));
      request.on('upgrade', (_response, socket, head) => {
        watch.stop();
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      });
      request.on('response', (response) => {
        const exchange = { response, watch, close: () => request.destroy() };
        readReply(what, exchange).then(
          () => reject(way.notUnderstood(what, `HTTP ${response.statusCode} to an upgrade`)),
          reject,
        );
      });
      request.end();
      try {
        return await promise;
      } finally {
        watch.stop();
      }
    },

    close: () => way.close(),
  };
}

/** A kept connection was closed by the agent at the moment of our request. */
class Stale extends Error {}

/** A request whose answer has begun. */
interface Exchange {
  readonly response: IncomingMessage;
  readonly watch: Watch;
  close(): void;
}

async function sendUpload(
  request: ClientRequest,
  upload: NonNullable<RequestOptions['upload']>,
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

/** A deadline that movement puts off, joined with the signal of whoever asked. */
interface Watch {
  readonly signal: AbortSignal;
  readonly deadlineMs: number;
  readonly expired: boolean;
  touch(): void;
  disarm(): void;
  stop(): void;
}

function watchdog(deadlineMs: number, outer: AbortSignal | undefined): Watch {
  const controller = new AbortController();
  let expired = false;
  const timer = Number.isFinite(deadlineMs)
    ? setTimeout(() => {
        expired = true;
        controller.abort();
      }, deadlineMs)
    : undefined;
  const follow = () => controller.abort(outer?.reason);
  if (outer?.aborted) follow();
  else outer?.addEventListener('abort', follow, { once: true });
  return {
    signal: controller.signal,
    deadlineMs,
    get expired() {
      return expired;
    },
    touch: () => {
      if (!expired) timer?.refresh();
    },
    disarm: () => clearTimeout(timer),
    stop() {
      clearTimeout(timer);
      outer?.removeEventListener('abort', follow);
    },
  };
}

function withQuery(target: string, query: Query = {}): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) pairs.set(name, value === true ? '1' : String(value));
  }
  return pairs.size === 0 ? target : `${target}?${pairs}`;
}

function numberOf(header: string | string[] | undefined): number | null {
  return typeof header === 'string' && /^\d{1,9}$/.test(header) ? Number(header) : null;
}

function parse(text: string, refuse: (why: string) => ZddError): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw refuse(text.slice(0, 200) || 'an empty answer');
  }
}

import type { Duplex } from 'node:stream';
import { API_HEADER } from '../../../agent/protocol/contact.ts';
import { claims } from '../claims.ts';
import type { Connection, Query, Reply, RequestOptions } from '../connection.ts';
import { NotNdjson, parseNdjson } from '../ndjson.ts';
import { readAnswer } from './answer.ts';
import {
  ANSWER_MS,
  type Asked,
  type Exchange,
  exchange,
  failure,
  httpRequest,
} from './exchange.ts';
import { watchdog } from './watchdog.ts';
import type { Way } from './way.ts';

/** HTTP over any way to an agent. */
export function overHttp(way: Way): Connection {
  let api: number | null = null;

  async function ask(asked: Asked): Promise<Exchange> {
    const begun = await exchange(way, asked);
    api = numberOf(begun.response.headers[API_HEADER]);
    return begun;
  }

  return {
    where: way.where,
    api: () => api,
    canBeCut: way.canBeCut,

    async request<T>(
      method: 'GET' | 'POST',
      path: string,
      reply: Reply<T>,
      options: RequestOptions = {},
    ): Promise<T> {
      const what = `${method} ${path}`;
      let brought: ReturnType<Reply<T>> | undefined;
      const bring = () => {
        brought ??= reply();
        return brought;
      };
      const target = withQuery(path, options.query);
      const value = await readAnswer(
        way,
        what,
        await ask({ method, target, options, idle: bring }),
      );
      const checked = (await bring()).safeParse(value);
      if (checked.success) return checked.data;
      const issue = checked.error.issues[0];
      throw way.notUnderstood(what, `${issue?.path.join('.')}: ${issue?.message}`);
    },

    async *stream(path, { query, patient, signal } = {}) {
      const what = `GET ${path}`;
      const begun = await ask({
        method: 'GET',
        target: withQuery(path, query),
        options: {
          headers: { accept: 'application/x-ndjson' },
          ...(patient ? { deadlineMs: Number.POSITIVE_INFINITY } : {}),
          ...(signal ? { signal } : {}),
        },
      });
      const { response, watch } = begun;
      if (response.statusCode !== 200) {
        await readAnswer(way, what, begun);
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
        throw failure(way, cause, watch);
      } finally {
        begun.close();
      }
    },

    upgrade: (path, protocol, signal) => upgrade(way, path, protocol, signal),

    close: () => way.close(),
  };
}

async function upgrade(
  way: Way,
  path: string,
  protocol: string,
  signal: AbortSignal,
): Promise<Duplex> {
  await way.ready(signal, () => {});
  const watch = watchdog(ANSWER_MS, signal);
  const what = `GET ${path}`;
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  const request = httpRequest({
    // As for what must not be repeated: a connection that nobody has used before.
    ...way.dial('POST'),
    path,
    method: 'GET',
    signal: watch.signal,
    headers: { host: 'zdd-agent', connection: 'Upgrade', upgrade: protocol, ...claims() },
  });
  request.on('error', (cause) => reject(failure(way, cause, watch)));
  request.on('upgrade', (_response, socket, head) => {
    watch.stop();
    if (head.length > 0) socket.unshift(head);
    resolve(socket);
  });
  request.on('response', (response) => {
    readAnswer(way, what, { response, watch, close: () => request.destroy() }).then(
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
}

function withQuery(path: string, query: Query = {}): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) pairs.set(name, value === true ? '1' : String(value));
  }
  return pairs.size === 0 ? path : `${path}?${pairs}`;
}

function numberOf(header: string | string[] | undefined): number | null {
  return typeof header === 'string' && /^\d{1,9}$/.test(header) ? Number(header) : null;
}

import type { DeploymentReply, LogLine } from '../../agent/protocol/api.ts';
import { API_VERSION } from '../../agent/protocol/contact.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import type { Agent, EventsQuery, LogsQuery, ReadEvent } from './agent.ts';
import type { Connection, Reply, StreamOptions } from './connection.ts';
import { followed } from './follow.ts';
import { logPlace } from './log-place.ts';
import { negotiate } from './negotiate.ts';
import { persistently } from './persist.ts';
import { RefusedByAgent } from './refused-by-agent.ts';
import { append, cancel, finish } from './uploads.ts';

const FOLLOW = { query: { follow: true }, patient: true };
/** A change that may need a reload of HAProxy, and that may have to wait for one, ms. */
const CHANGE_MS = 100_000;
/** How many lines are asked for again after a drop, to find the place where it was. */
const LOG_OVERLAP = 10_000;

// What reads the answers is loaded with the question, and only what this one needs.
const api = () => import('../../agent/protocol/api.ts');
const statuses = () => import('../../agent/protocol/status.ts');
const certificates = () => import('../../agent/protocol/certificates.ts');
const environment = () => import('../../agent/protocol/environment.ts');

/** @param connection opened lazily: what it is asked first also shows whether the versions fit. */
export function agentOver(connection: Connection): Agent {
  let negotiated: Promise<ReadonlySet<string>> | undefined;
  const ready = (signal?: AbortSignal): Promise<ReadonlySet<string>> => {
    negotiated ??= negotiate(connection, signal);
    return negotiated;
  };
  const ping = async (signal: AbortSignal) => void (await negotiate(connection, signal));

  /** Asks for the version, unless the last answer has said it. */
  const agreed = async (signal?: AbortSignal) => {
    if (connection.api() !== API_VERSION) await ready(signal);
  };

  /** What only looks is asked at once: if the two do not agree, that is found out by the answer. */
  async function get<T>(path: string, reply: Reply<T>, signal: AbortSignal): Promise<T> {
    try {
      const answer = await connection.request('GET', path, reply, { signal });
      await agreed(signal);
      return answer;
    } catch (cause) {
      // An agent of another version may say anything. One that says nothing is not asked again.
      if (isAnswer(cause)) await agreed(signal);
      throw cause;
    }
  }
  /** No signal: once asked, we want to know the answer, or nobody knows what was started. */
  async function begin(path: string, body: unknown): Promise<DeploymentReply> {
    await agreed();
    // By its number the agent knows it again when the way was cut before the answer.
    const headers = { 'x-zdd-request': crypto.randomUUID() };
    return persistently(connection, new AbortController().signal, () =>
      connection.request('POST', path, async () => (await api()).deploymentReply, {
        body,
        headers,
      }),
    );
  }
  const appPath = (app: string) => `/v1/apps/${encodeURIComponent(app)}`;

  async function* events(
    query: EventsQuery,
    options: StreamOptions,
    onThere?: () => void,
  ): AsyncGenerator<ReadEvent> {
    await agreed(options.signal);
    onThere?.();
    let last = query.since ?? 0;
    const stream = connection.stream('/v1/events', {
      ...options,
      query: { ...query, ...options.query },
    });
    const { readEvent } = await import('./read-event.ts');
    for await (const raw of stream) {
      const read = readEvent(connection, raw);
      // A number that came already: the agent repeated it after a reconnect.
      if (read.seq <= last) continue;
      last = read.seq;
      yield read;
    }
  }

  async function* logs(
    app: string,
    query: LogsQuery,
    options: StreamOptions,
    onThere?: () => void,
  ): AsyncGenerator<LogLine> {
    await agreed(options.signal);
    onThere?.();
    const stream = connection.stream(`${appPath(app)}/logs`, {
      ...options,
      query: { ...query, ...options.query },
    });
    const [{ logLine }, { unreadable }] = await Promise.all([api(), import('./read-event.ts')]);
    for await (const raw of stream) {
      const line = logLine.safeParse(raw);
      if (!line.success) throw unreadable(connection, 'a line of output', raw);
      yield line.data;
    }
  }

  return {
    where: connection.where,
    status: (signal) => get('/v1/status', async () => (await statuses()).statusReply, signal),
    app: (app, signal) => get(appPath(app), async () => (await statuses()).appStatus, signal),
    releases: (app, signal) =>
      get(`${appPath(app)}/releases`, async () => (await api()).releasesReply, signal),
    deployment: (app, id, signal) =>
      get(`${appPath(app)}/deployments/${id}`, async () => (await api()).deploymentDetail, signal),
    doctor: (signal) => get('/v1/doctor', async () => (await api()).doctorReply, signal),
    certificates: (signal) =>
      get('/v1/certificates', async () => (await certificates()).certificatesReply, signal),
    metrics: (signal) => get('/v1/metrics', async () => (await import('zod')).z.string(), signal),
    async addCertificate(body) {
      await agreed();
      const options = { body, deadlineMs: CHANGE_MS };
      return connection.request(
        'POST',
        '/v1/cert-add',
        async () => (await certificates()).certificateReply,
        options,
      );
    },
    async removeCertificate(name, owner) {
      await agreed();
      const options = { body: { name, owner }, deadlineMs: CHANGE_MS };
      return connection.request(
        'POST',
        '/v1/cert-rm',
        async () => (await certificates()).certificateReply,
        options,
      );
    },
    async renewCertificate(name, owner) {
      await agreed();
      const body = { name, owner };
      return connection.request(
        'POST',
        '/v1/cert-renew',
        async () => (await certificates()).certificateRetryReply,
        { body },
      );
    },
    environment: (app, withValues, signal) =>
      get(
        `${appPath(app)}/environment${withValues ? '?values=1' : ''}`,
        async () => (await environment()).environmentReply,
        signal,
      ),
    async changeEnvironment(app, body) {
      await agreed();
      const path = `${appPath(app)}/environment`;
      return connection.request(
        'POST',
        path,
        async () => (await environment()).environmentChanged,
        { body },
      );
    },
    async exec(app, signal) {
      const [{ EXEC_PROTOCOL }] = await Promise.all([
        import('../../agent/protocol/exec.ts'),
        agreed(signal),
      ]);
      return connection.upgrade(`${appPath(app)}/exec`, EXEC_PROTOCOL, signal);
    },

    has: async (feature, signal) => (await ready(signal)).has(feature),
    append: (id, source, options) => append(connection, id, source, options),
    finishUpload: (id, body, signal) => finish(connection, id, body, signal),
    cancelUpload: (id, withinMs) => cancel(connection, id, withinMs),
    async preview(app, body, signal) {
      await agreed(signal);
      const path = `${appPath(app)}/preview`;
      return connection.request(
        'POST',
        path,
        async () => (await import('../../agent/protocol/preview.ts')).previewReply,
        { body, signal },
      );
    },
    async sendArtifact(upload, sha256, signal) {
      await agreed(signal);
      return persistently(connection, signal, () =>
        connection.request('POST', '/v1/artifacts', async () => (await api()).artifactReply, {
          upload,
          headers: { 'x-zdd-sha256': sha256 },
          signal,
        }),
      );
    },
    deploy: (body) => begin('/v1/deployments', body),
    steer: (app, verb, body) => begin(`${appPath(app)}/${verb}`, body),
    async gate(app, verb, body) {
      await agreed();
      return connection.request(
        'POST',
        `${appPath(app)}/${verb}`,
        async () => (await import('../../agent/protocol/gate.ts')).gateReply,
        { body },
      );
    },
    async contract(app, body) {
      await agreed();
      return connection.request(
        'POST',
        `${appPath(app)}/contract`,
        async () => (await import('../../agent/protocol/contract.ts')).contractReply,
        { body },
      );
    },
    async notify(app, body) {
      await agreed();
      return connection.request(
        'POST',
        `${appPath(app)}/notify`,
        async () => (await import('../../agent/protocol/notify.ts')).notifyReply,
        { body },
      );
    },
    async audit(query, signal) {
      await agreed(signal);
      return connection.request(
        'GET',
        '/v1/audit',
        async () => (await import('../../agent/protocol/audit.ts')).auditReply,
        { query, signal },
      );
    },

    events: (query, signal) => events(query, { signal }),
    followEvents(query, options) {
      let last = query.since ?? 0;
      return followed({
        open: (signal, onThere) =>
          events({ ...query, since: last }, { ...FOLLOW, signal }, onThere),
        ping,
        seen: (read) => {
          last = read.seq;
          return true;
        },
        ...options,
      });
    },
    logs: (app, query, signal) => logs(app, query, { signal }),
    followLogs(app, query, options) {
      const place = logPlace();
      return followed({
        open: (signal, onThere) => {
          const from = place.resume() ? { ...query, lines: LOG_OVERLAP } : query;
          return logs(app, from, { ...FOLLOW, signal }, onThere);
        },
        ping,
        seen: (line) => place.isNew(line),
        ...options,
      });
    },
    close: () => connection.close(),
  };
}

function isAnswer(cause: unknown): boolean {
  return (
    cause instanceof RefusedByAgent ||
    (cause instanceof ZddError && cause.code === 'ZDD_PROTOCOL_MISMATCH')
  );
}

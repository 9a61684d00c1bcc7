import type { Duplex } from 'node:stream';
import { z } from 'zod';
import {
  API_VERSION,
  type AppStatus,
  type ArtifactReply,
  appStatus,
  artifactReply,
  type DeploymentDetail,
  type DeploymentReply,
  type DeployRequest,
  type DoctorReply,
  deploymentDetail,
  deploymentReply,
  doctorReply,
  type LogLine,
  logLine,
  type ReleasesReply,
  releasesReply,
  type StatusReply,
  statusReply,
} from '../../agent/protocol/api.ts';
import { type AuditReply, auditReply } from '../../agent/protocol/audit.ts';
import {
  type CertificateReply,
  type CertificateRequest,
  type CertificateRetryReply,
  type CertificatesReply,
  certificateReply,
  certificateRetryReply,
  certificatesReply,
} from '../../agent/protocol/certificates.ts';
import { type ContractReply, contractReply } from '../../agent/protocol/contract.ts';
import {
  type EnvironmentChange,
  type EnvironmentChanged,
  type EnvironmentReply,
  environmentChanged,
  environmentReply,
} from '../../agent/protocol/environment.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import { event, type ZddEvent } from '../../agent/protocol/events.ts';
import { EXEC_PROTOCOL } from '../../agent/protocol/exec.ts';
import { type GateReply, gateReply } from '../../agent/protocol/gate.ts';
import { type NotifyReply, notifyReply } from '../../agent/protocol/notify.ts';
import {
  type PreviewReply,
  type PreviewRequest,
  previewReply,
} from '../../agent/protocol/preview.ts';
import type { FinishRequest, UploadReply } from '../../agent/protocol/uploads.ts';
import type { Connection, StreamOptions, Upload } from './connection.ts';
import { followed } from './follow.ts';
import { logPlace } from './log-place.ts';
import { persistently } from './persist.ts';
import { type AppendOptions, append, cancel, finish, type Resendable } from './uploads.ts';

/** One event, as it came (`raw`, for `--json`: nothing a newer agent adds is lost) and as read. */
export interface ReadEvent {
  readonly seq: number;
  readonly raw: unknown;
  /** Null for a kind of event that only a newer agent knows. */
  readonly event: ZddEvent | null;
}

export interface EventsQuery {
  readonly app?: string;
  readonly deployment?: number;
  /** Events after this number. */
  readonly since?: number;
}

export interface LogsQuery {
  readonly release?: string;
  readonly process?: string;
  readonly lines: number;
}

/** How a stream goes on: `onGap` is told each time the agent was out of reach for a moment. */
export interface FollowOptions {
  readonly signal: AbortSignal;
  readonly onGap?: () => void;
}

/** The verbs about one app that need no artifact. */
export type SteeringVerb =
  | 'rollback'
  | 'abort'
  | 'promote'
  | 'pause'
  | 'resume'
  | 'retry'
  | 'restart'
  | 'scale'
  | 'start'
  | 'stop';

/** What they take beside who asks; each only what is its own. */
export interface SteeringBody {
  readonly owner: string;
  readonly release?: string;
  /** A rollback although the app is locked. */
  readonly force?: boolean;
  /** A promotion past all steps of a canary and the bake. */
  readonly full?: boolean;
  /** A rollback although a contract was run. */
  readonly acrossContract?: boolean;
  /** Of `scale` numbers by process type, of `restart` the process types it is for. */
  readonly processes?: Readonly<Record<string, number | null>> | readonly string[];
  readonly bakeMs?: number;
  readonly probeTimeoutMs?: number;
}

/** Everything the CLI can ask an agent, in its own types. */
export interface Agent {
  readonly where: string;
  status(signal: AbortSignal): Promise<StatusReply>;
  app(app: string, signal: AbortSignal): Promise<AppStatus>;
  releases(app: string, signal: AbortSignal): Promise<ReleasesReply>;
  deployment(app: string, id: number, signal: AbortSignal): Promise<DeploymentDetail>;
  doctor(signal: AbortSignal): Promise<DoctorReply>;
  /** Whether it has what only some agents of this API have, by its name in the protocol. */
  has(feature: string, signal: AbortSignal): Promise<boolean>;
  append(id: string, source: Resendable, options: AppendOptions): Promise<UploadReply>;
  finishUpload(id: string, body: FinishRequest, signal: AbortSignal): Promise<ArtifactReply>;
  /** As far as it can be reached. */
  cancelUpload(id: string): Promise<void>;
  /** What a push would change. */
  preview(app: string, body: PreviewRequest, signal: AbortSignal): Promise<PreviewReply>;
  sendArtifact(upload: Upload, sha256: string, signal: AbortSignal): Promise<ArtifactReply>;
  deploy(request: DeployRequest): Promise<DeploymentReply>;
  steer(app: string, verb: SteeringVerb, body: SteeringBody): Promise<DeploymentReply>;
  /** Locks and maintenance; see `protocol/gate.ts` for the bodies. */
  gate(
    app: string,
    verb: 'lock' | 'unlock' | 'maintenance',
    body: Readonly<Record<string, unknown>>,
  ): Promise<GateReply>;
  contract(
    app: string,
    body: { readonly owner: string; readonly now: boolean },
  ): Promise<ContractReply>;
  notify(
    app: string,
    body: { readonly owner: string; readonly deployment?: number },
  ): Promise<NotifyReply>;
  audit(
    query: { readonly app?: string; readonly since: number; readonly lines: number },
    signal: AbortSignal,
  ): Promise<AuditReply>;
  certificates(signal: AbortSignal): Promise<CertificatesReply>;
  /** As Prometheus reads them. */
  metrics(signal: AbortSignal): Promise<string>;
  addCertificate(body: CertificateRequest): Promise<CertificateReply>;
  removeCertificate(name: string, owner: string): Promise<CertificateReply>;
  renewCertificate(name: string, owner: string): Promise<CertificateRetryReply>;
  environment(app: string, withValues: boolean, signal: AbortSignal): Promise<EnvironmentReply>;
  changeEnvironment(app: string, change: EnvironmentChange): Promise<EnvironmentChanged>;
  /** A connection that speaks frames: see protocol/exec.ts. */
  exec(app: string, signal: AbortSignal): Promise<Duplex>;
  /** The events there are, then the end. */
  events(query: EventsQuery, signal: AbortSignal): AsyncIterable<ReadEvent>;
  /** Never ends by itself; a dropped stream goes on after the last event that came. */
  followEvents(query: EventsQuery, options: FollowOptions): AsyncIterable<ReadEvent>;
  logs(app: string, query: LogsQuery, signal: AbortSignal): AsyncIterable<LogLine>;
  /** Never ends by itself; a dropped stream goes on after the last line that came. */
  followLogs(app: string, query: LogsQuery, options: FollowOptions): AsyncIterable<LogLine>;
  /** Lets go of the connection, with which the process could not end. */
  close(): void;
}

const KNOWN_EVENTS: ReadonlySet<string> = new Set(
  event.options.map((option) => option.shape.type.value),
);
const laterEvent = z.looseObject({
  seq: z.int(),
  type: z.string().refine((type) => !KNOWN_EVENTS.has(type)),
});
const FOLLOW = { query: { follow: true }, patient: true };
/** A change that may need a reload of HAProxy, and that may have to wait for one, ms. */
const CHANGE_MS = 100_000;
/** How many lines are asked for again after a drop, to find the place where it was. */
const LOG_OVERLAP = 10_000;

/** @param connection opened lazily: the first request also checks that the versions fit. */
export function agentOver(connection: Connection): Agent {
  let negotiated: Promise<ReadonlySet<string>> | undefined;
  const ready = (signal?: AbortSignal): Promise<ReadonlySet<string>> => {
    negotiated ??= negotiate(connection, signal);
    return negotiated;
  };
  const ping = async (signal: AbortSignal) => void (await negotiate(connection, signal));

  async function get<T>(path: string, reply: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    await ready(signal);
    return connection.request('GET', path, reply, { signal });
  }
  /** No signal: once asked, we want to know the answer, or nobody knows what was started. */
  async function begin(path: string, body: unknown): Promise<DeploymentReply> {
    await ready();
    // By its number the agent knows it again when the way was cut before the answer.
    const headers = { 'x-zdd-request': crypto.randomUUID() };
    return persistently(connection, new AbortController().signal, () =>
      connection.request('POST', path, deploymentReply, { body, headers }),
    );
  }
  const appPath = (app: string) => `/v1/apps/${encodeURIComponent(app)}`;

  async function* events(
    query: EventsQuery,
    options: StreamOptions,
    onThere?: () => void,
  ): AsyncGenerator<ReadEvent> {
    await ready(options.signal);
    onThere?.();
    let last = query.since ?? 0;
    const stream = connection.stream('/v1/events', {
      ...options,
      query: { ...query, ...options.query },
    });
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
    await ready(options.signal);
    onThere?.();
    const stream = connection.stream(`${appPath(app)}/logs`, {
      ...options,
      query: { ...query, ...options.query },
    });
    for await (const raw of stream) {
      const line = logLine.safeParse(raw);
      if (!line.success) throw unreadable(connection, 'a line of output', raw);
      yield line.data;
    }
  }

  return {
    where: connection.where,
    status: (signal) => get('/v1/status', statusReply, signal),
    app: (app, signal) => get(appPath(app), appStatus, signal),
    releases: (app, signal) => get(`${appPath(app)}/releases`, releasesReply, signal),
    deployment: (app, id, signal) =>
      get(`${appPath(app)}/deployments/${id}`, deploymentDetail, signal),
    doctor: (signal) => get('/v1/doctor', doctorReply, signal),
    certificates: (signal) => get('/v1/certificates', certificatesReply, signal),
    metrics: (signal) => get('/v1/metrics', z.string(), signal),
    async addCertificate(body) {
      await ready();
      const options = { body, deadlineMs: CHANGE_MS };
      return connection.request('POST', '/v1/cert-add', certificateReply, options);
    },
    async removeCertificate(name, owner) {
      await ready();
      const options = { body: { name, owner }, deadlineMs: CHANGE_MS };
      return connection.request('POST', '/v1/cert-rm', certificateReply, options);
    },
    async renewCertificate(name, owner) {
      await ready();
      const body = { name, owner };
      return connection.request('POST', '/v1/cert-renew', certificateRetryReply, { body });
    },
    environment: (app, withValues, signal) =>
      get(`${appPath(app)}/environment${withValues ? '?values=1' : ''}`, environmentReply, signal),
    async changeEnvironment(app, body) {
      await ready();
      const path = `${appPath(app)}/environment`;
      return connection.request('POST', path, environmentChanged, { body });
    },
    async exec(app, signal) {
      await ready(signal);
      return connection.upgrade(`${appPath(app)}/exec`, EXEC_PROTOCOL, signal);
    },

    has: async (feature, signal) => (await ready(signal)).has(feature),
    append: (id, source, options) => append(connection, id, source, options),
    finishUpload: (id, body, signal) => finish(connection, id, body, signal),
    cancelUpload: (id) => cancel(connection, id),
    async preview(app, body, signal) {
      await ready(signal);
      const path = `${appPath(app)}/preview`;
      return connection.request('POST', path, previewReply, { body, signal });
    },
    async sendArtifact(upload, sha256, signal) {
      await ready(signal);
      return persistently(connection, signal, () =>
        connection.request('POST', '/v1/artifacts', artifactReply, {
          upload,
          headers: { 'x-zdd-sha256': sha256 },
          signal,
        }),
      );
    },
    deploy: (body) => begin('/v1/deployments', body),
    steer: (app, verb, body) => begin(`${appPath(app)}/${verb}`, body),
    async gate(app, verb, body) {
      await ready();
      return connection.request('POST', `${appPath(app)}/${verb}`, gateReply, { body });
    },
    async contract(app, body) {
      await ready();
      return connection.request('POST', `${appPath(app)}/contract`, contractReply, { body });
    },
    async notify(app, body) {
      await ready();
      return connection.request('POST', `${appPath(app)}/notify`, notifyReply, { body });
    },
    async audit(query, signal) {
      await ready(signal);
      return connection.request('GET', '/v1/audit', auditReply, { query, signal });
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

/**
 * @returns the features of the agent
 * @throws ZDD_PROTOCOL_MISMATCH unless the agent speaks our version of the API.
 */
async function negotiate(
  connection: Connection,
  signal?: AbortSignal,
): Promise<ReadonlySet<string>> {
  const reply = await connection.request(
    'GET',
    '/v1/version',
    // Loose: of an agent with another API nothing but these two is certain.
    z.looseObject({
      api: z.int(),
      agent: z.string(),
      features: z.array(z.string()).catch([]),
    }),
    signal ? { signal } : {},
  );
  if (reply.api === API_VERSION) return new Set(reply.features);
  const newer = reply.api > API_VERSION;
  throw new ZddError(
    'ZDD_PROTOCOL_MISMATCH',
    `the agent is too ${newer ? 'new' : 'old'} for this CLI`,
    {
      evidence: [
        ['agent', `${reply.agent}, API ${reply.api}`],
        ['this CLI', `API ${API_VERSION}`],
        ['mend', `update ${newer ? 'this CLI' : 'the agent'}`],
      ],
      tries: ['zdd-agent --version'],
    },
  );
}

function readEvent(connection: Connection, raw: unknown): ReadEvent {
  const known = event.safeParse(raw);
  if (known.success) return { seq: known.data.seq, raw, event: known.data };
  const later = laterEvent.safeParse(raw);
  if (later.success) return { seq: later.data.seq, raw, event: null };
  throw unreadable(connection, 'an event', raw);
}

function unreadable(connection: Connection, what: string, raw: unknown): ZddError {
  return new ZddError('ZDD_PROTOCOL_MISMATCH', `the agent sent ${what} this CLI cannot read`, {
    evidence: [
      ['socket', connection.where],
      ['got', JSON.stringify(raw).slice(0, 300)],
    ],
    tries: ['zdd-agent --version'],
  });
}

import type { Duplex } from 'node:stream';
import type {
  AppStatus,
  ArtifactReply,
  DeploymentDetail,
  DeploymentReply,
  DeployRequest,
  DoctorReply,
  LogLine,
  ReleasesReply,
  StatusReply,
} from '../../agent/protocol/api.ts';
import type { AuditReply } from '../../agent/protocol/audit.ts';
import type {
  CertificateReply,
  CertificateRequest,
  CertificateRetryReply,
  CertificatesReply,
} from '../../agent/protocol/certificates.ts';
import type { ContractReply } from '../../agent/protocol/contract.ts';
import type {
  EnvironmentChange,
  EnvironmentChanged,
  EnvironmentReply,
} from '../../agent/protocol/environment.ts';
import type { ZddEvent } from '../../agent/protocol/events.ts';
import type { GateReply } from '../../agent/protocol/gate.ts';
import type { NotifyReply } from '../../agent/protocol/notify.ts';
import type { PreviewReply, PreviewRequest } from '../../agent/protocol/preview.ts';
import type { FinishRequest, UploadReply } from '../../agent/protocol/uploads.ts';
import type { Upload } from './connection.ts';
import type { AppendOptions, Resendable } from './uploads.ts';

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
  /** As far as it can be reached within that time, ms; 2 s unless given. */
  cancelUpload(id: string, withinMs?: number): Promise<void>;
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

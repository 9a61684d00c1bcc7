import { z } from 'zod';
import { errorBody } from './error-body.ts';
import { deploymentKind, phase } from './phase.ts';
import { shadowReport } from './shadow.ts';
import { verdictReport } from './verdict.ts';

/** How a deployment can end. */
export const outcome = z.enum(['succeeded', 'failed', 'aborted', 'rolled_back']);
export type Outcome = z.infer<typeof outcome>;

/** One finished step of the story of a deployment. */
export const stepReport = z.object({
  phase,
  /** Time the step took, ms. */
  ms: z.number(),
  /** One line for people: `web.1 200 in 12 ms`. */
  summary: z.string(),
});
export type StepReport = z.infer<typeof stepReport>;

/** What a deployment leaves behind. Additive only. */
export const receipt = z.object({
  schemaVersion: z.literal(1),
  app: z.string(),
  deployment: z.int(),
  kind: deploymentKind,
  /**
   * The release that was to go live, or of a stop the one that was stopped; null when the artifact
   * was never unpacked.
   */
  release: z.string().nullable(),
  previous: z.string().nullable(),
  outcome,
  /** Who asked for it, and where the bytes came from; agents before 0.2 do not say. */
  owner: z.string().optional(),
  source: z.string().optional(),
  startedAt: z.number(),
  /** From the start to the end of the deployment, ms. */
  totalMs: z.number(),
  /** From the first switching command to HAProxy's confirmation, ms; null when nothing moved. */
  switchMs: z.number().nullable(),
  /** Requests HAProxy saw for this app from the start to the end of the deployment. */
  requests: z.int(),
  /**
   * Of these, those HAProxy itself had to answer with 502, 503 or 504 while a release served; what it
   * answers by order of a stop is not lost.
   */
  lost: z.int(),
  /** Of these, 5xx answers that the app gave. */
  appErrors: z.int(),
  steps: z.array(stepReport),
  /** The release command, once for the fleet, was run by another host; a retry does without as well. */
  releasedElsewhere: z.literal(true).optional(),
  /** What the gates said in the end; absent when nothing was judged, or by an older agent. */
  verdicts: z.array(verdictReport).optional(),
  /** What came of copying live requests to the release; absent when that was not asked for. */
  shadow: shadowReport.optional(),
  error: errorBody.nullable(),
});
export type Receipt = z.infer<typeof receipt>;

const base = {
  /** Grows by one with each event of this agent; `since` takes it. */
  seq: z.int(),
  /** Milliseconds since the epoch. */
  at: z.number(),
  app: z.string(),
  deployment: z.int().nullable(),
};

/** One change, as it stands in the journal, in `events`, in the log and in the receipt. */
export const event = z.discriminatedUnion('type', [
  z.object({
    ...base,
    type: z.literal('deployment_started'),
    kind: deploymentKind,
    /** The release that served; null when none did. */
    previous: z.string().nullable(),
    /** The release that was stopped, where one was. */
    stopped: z.string().optional(),
    /** Who asked and from where: `deploy@laptop`. */
    owner: z.string(),
    source: z.string(),
  }),
  z.object({ ...base, type: z.literal('phase_changed'), from: phase.nullable(), to: phase }),
  z.object({
    ...base,
    type: z.literal('release_created'),
    release: z.string(),
    reused: z.boolean(),
  }),
  z.object({ ...base, type: z.literal('step_done'), step: stepReport }),
  /** Something worth showing while a step runs: the last probe, a canary's numbers. */
  z.object({ ...base, type: z.literal('progress'), phase, message: z.string() }),
  /** What the gates say of the candidate: at the end of a step, or when they change their mind. */
  z.object({ ...base, type: z.literal('judged'), phase, verdicts: z.array(verdictReport) }),
  /** What came of copying live requests to the candidate. */
  z.object({ ...base, type: z.literal('shadowed'), shadow: shadowReport }),
  /** A canary stays as it is until somebody says `promote`, `resume` or `abort`. */
  z.object({
    ...base,
    type: z.literal('paused'),
    by: z.enum(['gate', 'person']),
    reason: z.string(),
  }),
  z.object({ ...base, type: z.literal('resumed') }),
  z.object({
    ...base,
    type: z.literal('traffic_moved'),
    /** Release id to its share of new requests, percent. */
    shares: z.record(z.string(), z.number()),
    ms: z.number(),
    reloaded: z.boolean(),
  }),
  z.object({ ...base, type: z.literal('deployment_ended'), receipt }),
  /** Somebody was told how a deployment has ended, or could not be. Never where, which is a secret. */
  z.object({
    ...base,
    type: z.literal('notified'),
    to: z.enum(['slack', 'webhook', 'ticket', 'command']),
    /** `failed`: it is tried again. `given_up`: never again. */
    result: z.enum(['sent', 'failed', 'given_up']),
    /** Tries so far. */
    attempts: z.int(),
    error: z.string().nullable(),
  }),
  z.object({
    ...base,
    type: z.literal('draining'),
    release: z.string(),
    requests: z.int(),
    websockets: z.int(),
    /** SSE and gRPC. */
    streams: z.int().optional(),
    /** When WebSockets and streams begin to be closed, ms since the epoch. */
    closingFrom: z.number(),
  }),
  /** An instance was told that it drains, or `error` says why it could not be. */
  z.object({
    ...base,
    type: z.literal('drain_notice'),
    release: z.string(),
    slot: z.string(),
    /** `SIGUSR2`, `POST /_drain` */
    how: z.string(),
    error: z.string().nullable(),
  }),
  z.object({ ...base, type: z.literal('release_stopped'), release: z.string(), ms: z.number() }),
  z.object({ ...base, type: z.literal('release_pruned'), release: z.string() }),
  z.object({
    ...base,
    type: z.literal('instance_exited'),
    slot: z.string(),
    release: z.string(),
    reason: z.string(),
    restartInMs: z.number().nullable(),
  }),
  /** A run of a job failed, was due and did not begin, or is well again after that. */
  z.object({
    ...base,
    type: z.literal('cron'),
    job: z.string(),
    release: z.string(),
    outcome: z.enum(['ok', 'failed', 'missed']),
    /** When it was due, ms since the epoch. */
    dueAt: z.number(),
    ms: z.number().nullable(),
    detail: z.string(),
  }),
  /** The contract command of a release: no older one comes back from its start on. */
  z.object({
    ...base,
    type: z.literal('contract'),
    release: z.string(),
    owner: z.string(),
    outcome: z.enum(['started', 'ok', 'failed']),
    /** Why it failed, and the last it said. */
    detail: z.string(),
  }),
  z.object({
    ...base,
    type: z.literal('recovered'),
    decision: z.enum(['finish', 'undo']),
    reason: z.string(),
  }),
  z.object({ ...base, type: z.literal('drift'), what: z.string(), repaired: z.boolean() }),
  /** What became of a file in the drop folder. */
  z.object({
    ...base,
    type: z.literal('drop'),
    file: z.string(),
    /** Whose file it is. */
    owner: z.string(),
    step: z.enum(['taken', 'done', 'failed']),
    /** Why it failed. */
    error: errorBody.nullable(),
  }),
  z.object({
    ...base,
    type: z.literal('app_locked'),
    owner: z.string(),
    message: z.string(),
    /** When it ends by itself, ms since the epoch. */
    until: z.number().nullable(),
  }),
  z.object({ ...base, type: z.literal('app_unlocked'), owner: z.string() }),
  /** The app answers 503, or itself again. */
  z.object({
    ...base,
    type: z.literal('maintenance_changed'),
    on: z.boolean(),
    owner: z.string(),
    message: z.string(),
    /** When it ends by itself, ms since the epoch. */
    until: z.number().nullable(),
    reloaded: z.boolean(),
  }),
  /** A certificate came or went; never its key. */
  z.object({
    ...base,
    type: z.literal('certificate_changed'),
    change: z.enum(['added', 'replaced', 'removed']),
    names: z.array(z.string()),
    origin: z.enum(['pushed', 'file', 'acme']),
    /** Who pushed or removed it, its file, or the directory of the ACME server. */
    source: z.string(),
    /** When it ends, ms since the epoch. */
    notAfter: z.number(),
  }),
  /** Variables that the host keeps for the app; never their values. */
  z.object({
    ...base,
    type: z.literal('environment_changed'),
    owner: z.string(),
    set: z.array(z.string()),
    unset: z.array(z.string()),
  }),
  /** Somebody runs a command in a release. Its arguments may be secrets, so they are not told. */
  z.object({
    ...base,
    type: z.literal('exec_started'),
    owner: z.string(),
    session: z.string(),
    release: z.string(),
    process: z.string(),
    command: z.string(),
    tty: z.boolean(),
  }),
  z.object({
    ...base,
    type: z.literal('exec_ended'),
    session: z.string(),
    command: z.string(),
    /** Null when it was ended because its client or the agent went away. */
    code: z.int().nullable(),
    ms: z.number(),
  }),
  /** `agent.yaml` was read again (`systemctl reload zdd-agentd`). */
  z.object({
    ...base,
    type: z.literal('configuration_reloaded'),
    /** Keys whose new values are in force. */
    changed: z.array(z.string()),
    /** Keys whose new values take effect at the next start. */
    needsRestart: z.array(z.string()),
    /** Why everything stayed as it was. */
    error: z.string().nullable(),
  }),
]);
export type ZddEvent = z.infer<typeof event>;
type Unstamped<E> = E extends unknown ? Omit<E, 'seq' | 'at'> : never;
/** An event before the store has given it its number and time. */
export type NewEvent = Unstamped<ZddEvent>;

import { z } from 'zod';
import { cronStatus } from './cron.ts';
import { errorBody } from './errors.ts';
import { deploymentKind, outcome, phase, receipt } from './events.ts';
import { lockStatus, maintenanceStatus } from './gate.ts';

/** Version of the control API. A CLI talks to any agent with the same major number. */
export const API_VERSION = 1;
/** Where the daemon listens unless told otherwise (`ZDD_SOCKET_PATH` or `--socket`). */
export const DEFAULT_SOCKET = '/run/zdd-agent/agent.sock';

/** `GET /v1/version` */
export const versionReply = z.object({
  agent: z.string(),
  api: z.int(),
  haproxy: z.string().nullable(),
  runner: z.enum(['process', 'systemd']),
  pid: z.int(),
  /** What an agent of this API may or may not have, by the file that declares it. */
  features: z.array(z.string()).default([]),
});
export type VersionReply = z.infer<typeof versionReply>;

/**
 * `POST /v1/artifacts`: the body is the archive. Headers: `content-length` (required),
 * `x-zdd-sha256` (optional, checked against what arrived).
 */
export const artifactReply = z.object({
  /** sha256 of the bytes received, hex. */
  artifact: z.string(),
  bytes: z.int(),
  /** The agent had these bytes already. */
  reused: z.boolean(),
});
export type ArtifactReply = z.infer<typeof artifactReply>;

/** `POST /v1/deployments`: deploy a received artifact. Refused with ZDD_LOCKED while one runs. */
export const deployRequest = z.strictObject({
  artifact: z.string().regex(/^[0-9a-f]{64}$/),
  /** Who asks, for the lock and the audit: `deploy@laptop`. */
  owner: z.string().max(200).default('unknown'),
  /** Where the bytes come from: `./ (git 9f3c1e2, clean)`. */
  source: z.string().max(300).default(''),
  /** Time the upload took, ms; shown in the receipt as step `receiving`. */
  receiveMs: z.number().min(0).default(0),
  /**
   * The first host of this push has run the release command, if it is one for the fleet. The agent
   * runs it all the same where it is one for each host.
   */
  releasedElsewhere: z.boolean().default(false),
  /** Overrides for this deployment only, ms. */
  bakeMs: z.int().min(0).optional(),
  probeTimeoutMs: z.int().min(1).optional(),
  /** As `strategy` of zdd.yaml, in YAML: `canary`, `[weight: 5%, hold: 2m]`. */
  strategy: z.string().max(10_000).optional(),
});
export type DeployRequest = z.input<typeof deployRequest>;

/**
 * Reply of every verb that starts or steers a deployment. A request that comes again with the same
 * header `x-zdd-request` is answered as the first time, and nothing is started twice.
 */
export const deploymentReply = z.object({
  app: z.string(),
  deployment: z.int(),
  /** `started`, or for a repeated verb `already_<state>`. */
  result: z.string(),
  /** Follow `GET /v1/events?since=<seq>` to see everything of this deployment. */
  since: z.int(),
});
export type DeploymentReply = z.infer<typeof deploymentReply>;

/**
 * `POST /v1/apps/:app/rollback`: to `release` (default: the last good one). While a deployment
 * bakes, this ends it as rolled back. `POST /v1/apps/:app/abort`, `POST /v1/apps/:app/promote`
 * take the same body without `release`.
 */
export const rollbackRequest = z.strictObject({
  release: z.string().optional(),
  /** Although the app is locked by hand. */
  force: z.boolean().default(false),
  /** Although a contract was run that the release may not live with. */
  acrossContract: z.boolean().default(false),
  owner: z.string().max(200).default('unknown'),
});
export type RollbackRequest = z.input<typeof rollbackRequest>;
export const steerRequest = z.strictObject({ owner: z.string().max(200).default('unknown') });
/** `POST /v1/apps/:app/promote`: to the next step of a canary, or past all of them. */
export const promoteRequest = steerRequest.extend({ full: z.boolean().default(false) });

/** One instance in `status`. */
export const instanceStatus = z.object({
  slot: z.string(),
  process: z.string(),
  state: z.enum(['running', 'backing_off', 'stopped']),
  pid: z.int().nullable(),
  restarts: z.int(),
  address: z.string().nullable(),
});

/** One running generation of a release in `status`. */
export const generationStatus = z.object({
  release: z.string(),
  /** The deployment that started it. */
  deployment: z.int(),
  role: z.enum(['stable', 'candidate', 'warm', 'draining', 'stopping']),
  /** Share of new requests, percent; null for apps that take no traffic. */
  traffic: z.number().nullable(),
  /** When a warm release stops being warm, ms since the epoch. */
  warmUntil: z.number().nullable(),
  requests: z.int().nullable(),
  websockets: z.int().nullable(),
  /** SSE and gRPC; null when it cannot be told. */
  streams: z.int().nullable().optional(),
  /** How its connections end, while it drains. */
  drain: z
    .object({
      /** From when WebSockets and streams, and requests that run too long, are closed; ms. */
      closeFrom: z.number(),
      requestsUntil: z.number(),
      pacePerSecond: z.number(),
      /** An old HAProxy worker may still send it a request: it is not stopped before. */
      reachableByOldWorker: z.boolean(),
    })
    .nullable()
    .optional(),
  instances: z.array(instanceStatus),
});
export type GenerationStatus = z.infer<typeof generationStatus>;

/** A process type that was scaled; `configured` is what its zdd.yaml says, null: it has no such type. */
export const scaledProcess = z.object({
  process: z.string(),
  instances: z.int(),
  configured: z.int().nullable(),
});

/** One app in `status`. */
export const appStatus = z.object({
  app: z.string(),
  /** The release that serves; null before the first success. */
  live: z.string().nullable(),
  /** Since when it serves, or has been stopped. */
  since: z.number().nullable(),
  /** Stopped by `zdd-agent stop`: HAProxy answers 503, `start` brings this release back. */
  stopped: z.object({ release: z.string(), owner: z.string(), at: z.number() }).nullish(),
  /** Process types whose number of instances is not that of zdd.yaml. */
  scaled: z.array(scaledProcess).optional(),
  routes: z.array(z.string()),
  /** The certificate of its hosts that ends first; null: it has none. */
  tls: z
    .object({ notAfter: z.number(), expiry: z.enum(['good', 'soon', 'very_soon', 'expired']) })
    .nullish(),
  deployment: z
    .object({
      id: z.int(),
      kind: deploymentKind.optional(),
      phase,
      owner: z.string(),
      startedAt: z.number(),
      release: z.string().nullable(),
      /** While it has a share of the users. */
      canary: z
        .object({
          /** The present step, from 1, and how many there are. */
          step: z.int(),
          steps: z.int(),
          /** In a few words: `hold 2m`. */
          doing: z.string(),
          percent: z.number(),
          /** Why it stays as it is; null while it goes on. */
          paused: z.string().nullable(),
        })
        .optional(),
      /** While it goes instance by instance. */
      rolling: z
        .object({
          /** Web instances of the new release that take new requests, and how many there shall be. */
          serving: z.int(),
          of: z.int(),
          /** Web instances of the old release that still take some. */
          left: z.int(),
          /** What is done with the present batch. */
          doing: z.enum(['start', 'admit', 'watch', 'shed', 'drain', 'stop']),
          /** Why it stays as it is; null while it goes on. */
          paused: z.string().nullable(),
        })
        .optional(),
    })
    .nullable(),
  generations: z.array(generationStatus),
  /** Its jobs, and what became of them; agents before 0.2 do not say. */
  cron: z.array(cronStatus).optional(),
  /** Nobody may deploy, restart or scale it. Agents before 0.2 do not say. */
  lock: lockStatus.nullish(),
  /** It answers 503. */
  maintenance: maintenanceStatus.nullish(),
});
export type AppStatus = z.infer<typeof appStatus>;

/** A warning that names the command that mends it. */
export const finding = z.object({
  level: z.enum(['ok', 'notice', 'warning', 'error']),
  code: z.string(),
  what: z.string(),
  tries: z.array(z.string()),
});
export type Finding = z.infer<typeof finding>;

/** `GET /v1/status` and, with one app, `GET /v1/apps/:app` (an `appStatus`). */
export const statusReply = z.object({
  schemaVersion: z.literal(1),
  agent: z.string(),
  apps: z.array(appStatus),
  /** Null when HAProxy does not answer. */
  haproxy: z
    .object({
      /** Workers from before a reload that still hold connections. */
      oldWorkers: z.int(),
      maxOldWorkers: z.int(),
    })
    .nullable()
    .optional(),
  attention: z.array(finding),
});
export type StatusReply = z.infer<typeof statusReply>;

/** `GET /v1/doctor` */
export const doctorReply = z.object({ schemaVersion: z.literal(1), findings: z.array(finding) });
export type DoctorReply = z.infer<typeof doctorReply>;

/** `GET /v1/apps/:app/releases`, newest first. */
export const releasesReply = z.object({
  schemaVersion: z.literal(1),
  app: z.string(),
  releases: z.array(
    z.object({
      release: z.string(),
      createdAt: z.number(),
      bytes: z.int(),
      files: z.int(),
      state: z.enum(['live', 'stopped', 'warm', 'good', 'unproven', 'bad']),
      source: z.string(),
    }),
  ),
});
export type ReleasesReply = z.infer<typeof releasesReply>;

/** `GET /v1/apps/:app/deployments/:id`: the receipt once ended, else null. */
export const deploymentDetail = z.object({
  app: z.string(),
  deployment: z.int(),
  phase: phase.nullable(),
  outcome: outcome.nullable(),
  receipt: receipt.nullable(),
});
export type DeploymentDetail = z.infer<typeof deploymentDetail>;

/** `GET /v1/events?app=&deployment=&since=&follow=1`: NDJSON of `event` (see events.ts). */
export const eventsQuery = z.object({
  app: z.string().optional(),
  deployment: z.coerce.number().int().optional(),
  since: z.coerce.number().int().min(0).default(0),
  follow: z.stringbool().default(false),
});

/** `GET /v1/apps/:app/logs?release=&process=&lines=&follow=1`: NDJSON of `logLine`. */
export const logsQuery = z.object({
  release: z.string().optional(),
  process: z.string().optional(),
  lines: z.coerce.number().int().min(0).max(10_000).default(100),
  follow: z.stringbool().default(false),
});
export const logLine = z.object({
  at: z.number(),
  app: z.string(),
  release: z.string(),
  slot: z.string(),
  stream: z.enum(['out', 'err']),
  /** 0 to 7 as in syslog(3), where the line had one of its own: by the prefix `<3>`. */
  priority: z.int().optional(),
  text: z.string(),
});
export type LogLine = z.infer<typeof logLine>;

/** Body of every answer that is not 2xx. */
export const errorReply = z.object({ error: errorBody });

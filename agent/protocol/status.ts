import { z } from 'zod';
import { cronStatus } from './cron-status.ts';
import { lockStatus, maintenanceStatus } from './gate-status.ts';
import { deploymentKind, phase } from './phase.ts';

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

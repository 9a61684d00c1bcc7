import { z } from 'zod';
import { errorBody } from './error-body.ts';
import { outcome, receipt } from './events.ts';
import { phase } from './phase.ts';
import { finding } from './status.ts';

export type { AppStatus, Finding, GenerationStatus, StatusReply } from './status.ts';

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

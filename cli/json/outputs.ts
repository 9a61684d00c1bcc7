import { z } from 'zod';
import { deploymentReply, doctorReply, logLine, releasesReply } from '../../agent/protocol/api.ts';
import { auditReply } from '../../agent/protocol/audit.ts';
import {
  certificateReply,
  certificateRetryReply,
  certificatesReply,
} from '../../agent/protocol/certificates.ts';
import { contractReply } from '../../agent/protocol/contract.ts';
import { environmentChanged, environmentReply } from '../../agent/protocol/environment.ts';
import { errorBody } from '../../agent/protocol/error-body.ts';
import { event, receipt } from '../../agent/protocol/events.ts';
import { gateReply } from '../../agent/protocol/gate.ts';
import { notifyReply } from '../../agent/protocol/notify.ts';
import { previewReply } from '../../agent/protocol/preview.ts';
import { statusReply } from '../../agent/protocol/status.ts';

/** The last line of stdout when a verb fails, unless a receipt stands there. */
const failed = z.object({ host: z.string().optional(), error: errorBody });

/** The last line of a verb that was left while a deployment goes on. */
const detached = z.object({ detached: z.object({ app: z.string(), deployment: z.int() }) });

/** After a verb that changes something went over several hosts: which of them have what. */
const outcomes = z.object({
  hosts: z.array(
    z.object({
      host: z.string(),
      result: z.enum(['done', 'failed', 'not_tried']),
      exit: z.int().nullable(),
      app: z.string().nullable(),
      live: z.string().nullable(),
    }),
  ),
});

/** In each value of one of several hosts. */
const ofHost = { host: z.string().optional() };

/** `zdd.yaml` with every default filled in, durations in ms, sizes in bytes: see docs/config.md. */
const config = z.record(z.string(), z.unknown());

const events = event.options.map((option) => option.extend(ofHost));

/** What every verb that begins or steers a deployment prints, line by line. */
const deployment = [
  ...events,
  receipt.extend(ofHost),
  deploymentReply.extend(ofHost),
  detached.extend(ofHost),
  outcomes,
];

const dryRun = z.object({
  ...ofHost,
  schemaVersion: z.literal(1),
  dryRun: z.literal(true),
  app: z.string().nullable(),
  source: z.string(),
  /** sha256, hex: of an archive, or of the manifest of the release that a folder would be. */
  artifact: z.string(),
  bytes: z.int(),
  before: z.string(),
  config: config.nullable(),
  /** What the agent says of it; null when it was not asked. */
  preview: previewReply.nullable(),
});

const guess = z.object({ value: z.string(), why: z.string() });
const init = z.object({
  schemaVersion: z.literal(1),
  app: z.string(),
  kind: z.string(),
  found: z.object({ what: z.string(), from: z.array(z.string()) }),
  processes: z.array(
    z.object({
      name: z.string(),
      run: guess,
      listen: guess,
      health: guess.nullable(),
      overlap: z.boolean(),
    }),
  ),
  release: guess.nullable(),
  env: z.array(z.object({ name: z.string(), value: z.string(), why: z.string() })),
  shared: z.array(guess.extend({ travels: z.boolean() })),
  environment: z.string().nullable(),
  hosts: z.array(z.string()),
  host: z.array(z.string()),
  checks: z.array(z.string()),
});

const drain = z.object({
  ...ofHost,
  schemaVersion: z.literal(1),
  app: z.string(),
  release: z.string(),
  to: z.string().nullable(),
  state: z.enum(['warm', 'draining', 'stopping', 'gone', 'serving']),
  requests: z.int().nullable(),
  websockets: z.int().nullable(),
  streams: z.int().nullable(),
  closeFrom: z.number().nullable(),
  pacePerSecond: z.number().nullable(),
  warmUntil: z.number().nullable(),
});

const configShow = z.object({
  schemaVersion: z.literal(1),
  file: z.string(),
  config,
  written: config,
  origins: z
    .array(
      z.object({
        path: z.string(),
        from: z.enum(['file', 'default']),
        line: z.int().optional(),
      }),
    )
    .optional(),
});

const lint = z.object({
  schemaVersion: z.literal(1),
  files: z.int(),
  warnings: z.array(
    z.object({
      file: z.string(),
      line: z.int(),
      rule: z.string(),
      what: z.string(),
      why: z.string(),
      instead: z.string(),
    }),
  ),
  unread: z.array(z.object({ file: z.string(), line: z.int(), error: z.string() })),
});

const gate = [gateReply.extend(ofHost), outcomes];
const certChange = [certificateReply.extend(ofHost), outcomes];
const envChange = [environmentChanged.extend(ofHost), ...deployment];

/** What each verb prints with `--json`: one of these on each line of stdout. */
const LINES: Readonly<Record<string, readonly z.ZodType[]>> = {
  init: [init],
  'config check': [z.object({ schemaVersion: z.literal(1), file: z.string(), config })],
  'config show': [configShow],
  push: [...deployment, dryRun],
  attach: deployment,
  promote: deployment,
  pause: deployment,
  resume: deployment,
  retry: deployment,
  abort: deployment,
  rollback: deployment,
  restart: deployment,
  scale: deployment,
  stop: deployment,
  start: deployment,
  status: [statusReply.extend({ ...ofHost, cli: z.string() })],
  drain: [drain],
  releases: [releasesReply.extend(ofHost)],
  why: [receipt.extend(ofHost)],
  logs: [
    logLine.extend({
      ...ofHost,
      level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).nullable(),
    }),
  ],
  events,
  doctor: [doctorReply.extend(ofHost)],
  'env list': [environmentReply.extend(ofHost)],
  'env set': envChange,
  'env unset': envChange,
  'env import': envChange,
  lock: gate,
  unlock: gate,
  'maintenance on': gate,
  'maintenance off': gate,
  'cert add': certChange,
  'cert ls': [certificatesReply.extend(ofHost)],
  'cert renew': [certificateRetryReply.extend(ofHost), outcomes],
  'cert rm': certChange,
  audit: [auditReply.extend(ofHost)],
  metrics: [z.object({ ...ofHost, schemaVersion: z.literal(1), text: z.string() })],
  contract: [contractReply.extend(ofHost), ...events, outcomes],
  lint: [lint],
  notify: [notifyReply.extend(ofHost), outcomes],
};

/** Verbs whose output has a schema, in the order of the list of verbs. */
export const VERBS_WITH_OUTPUT: readonly string[] = Object.keys(LINES);

/** A JSON Schema, as far as this project looks into its own. */
export type OutputSchema = Readonly<Record<string, unknown>>;

/** The JSON Schema of one line that a verb prints with `--json`; null for a verb without one. */
export function outputSchema(verb: string): OutputSchema | null {
  const lines = Object.hasOwn(LINES, verb) ? LINES[verb] : undefined;
  if (lines === undefined) return null;
  const { $schema, ...rest } = z.toJSONSchema(z.union([...lines, failed]), OPTIONS);
  return { $schema, title: `zdd-agent ${verb} --json`, ...rest };
}

/** All of them in one document, each under `$defs` by its verb. */
export function outputSchemas(): OutputSchema {
  const $defs: Record<string, OutputSchema> = {};
  for (const [verb, lines] of Object.entries(LINES)) {
    const same = Object.keys($defs).find((known) => LINES[known] === lines);
    const { $schema: _, ...schema } = outputSchema(verb) ?? {};
    $defs[verb] = same === undefined ? schema : { $ref: `#/$defs/${same}` };
  }
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'zdd-agent --json',
    description: 'What each verb prints with --json: one of these values on each line of stdout.',
    $defs,
  };
}

const OPTIONS: Parameters<typeof z.toJSONSchema>[1] = {
  override: ({ jsonSchema }) => {
    // Output only grows: what has a field more than this schema is still right.
    if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
    if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  },
};

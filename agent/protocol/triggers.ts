import { z } from 'zod';
import { duration } from './duration.ts';
import { readJsonPath } from './json-path.ts';

const base = {
  name: z.string().min(1).max(60).describe('What the metric is called.'),
  max: z.number().optional().describe('Above this it fails.'),
  min: z.number().optional().describe('Below this it fails.'),
  every: duration().default(30_000).describe('How often it is asked for.'),
  looks: z.int().min(1).max(100).default(2).describe('How many looks in a row must be bad.'),
};
const address = z
  .string()
  .regex(
    /^(https?:\/\/|\$\{env\.[A-Za-z_][A-Za-z0-9_]*\})/,
    'expected an address such as "http://127.0.0.1:9090", or a variable that holds one, as in smoke',
  );

const prometheus = z.strictObject({
  ...base,
  prometheus: address.describe('The Prometheus server.'),
  query: z.string().min(1).describe('PromQL with one value as its answer.'),
  last_week: z
    .boolean()
    .default(false)
    .describe('A count, compared with the same hour last week: fails by a drop above 5 %.'),
});
const json = z.strictObject({
  ...base,
  json: address.describe('An address that answers JSON.'),
  path: z
    .string()
    .refine((text) => readJsonPath(text) !== null, 'expected a path such as "data.value"')
    .describe('Where the number stands in the answer.'),
});
const command = z.strictObject({
  ...base,
  run: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .describe('A command whose last line is the number.'),
});

const metric = z.union([prometheus, json, command]).superRefine((value, context) => {
  const judges = value.max !== undefined || value.min !== undefined;
  if (judges || ('last_week' in value && value.last_week)) return;
  context.addIssue({ code: 'custom', path: ['name'], message: 'it needs max, min or last_week' });
});

/** `triggers` of a `zdd.yaml`: what else fails a release while it has traffic. */
export const triggers = z
  .strictObject({
    alerts: z
      .record(z.string(), z.string())
      .optional()
      .describe('Labels of alerts that fail it, as Alertmanager tells the agent.'),
    metrics: z.array(metric).max(16).default([]).describe('Numbers of others that fail it.'),
  })
  .prefault({});

/** A number that somebody else knows. */
export type Metric = z.output<typeof metric>;

import { z } from 'zod';
import { duration } from './duration-field.ts';
import { readJsonPath } from './json-path.ts';

const base = {
  name: z.string().min(1).max(60).describe('What the metric is called.'),
  max: z.number().optional().describe('Above this it fails.'),
  min: z.number().optional().describe('Below this it fails.'),
  every: duration().default(30_000).describe('How often it is asked for.'),
  looks: z.int().min(1).max(100).default(2).describe('How many looks in a row must be bad.'),
  relative_to: z
    .literal('stable')
    .optional()
    .describe('Held against the same of the release before: $ZDD_RELEASE is the one asked about.'),
  max_ratio: z.number().min(1).optional().describe('Above so many times that of stable it fails.'),
  min_ratio: z
    .number()
    .gt(0)
    .max(1)
    .optional()
    .describe('Below so many times that of stable it fails.'),
  at_least: z
    .number()
    .min(0)
    .default(0)
    .describe('Of relative_to: smaller values, of either release, count as this much.'),
};
const command = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);
const jsonPath = z
  .string()
  .refine((text) => readJsonPath(text) !== null, 'expected a path such as "data.value"');
const OF = 'Of relative_to, for counts: of how many. Then an exact test decides.';

/** What stands for the id of the release that is asked about. */
export const ASKED_RELEASE = '$ZDD_RELEASE';
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
  of: z.string().min(1).optional().describe(OF),
});
const json = z.strictObject({
  ...base,
  json: address.describe('An address that answers JSON.'),
  path: jsonPath.describe('Where the number stands in the answer.'),
  of: jsonPath.optional().describe(OF),
});
const program = z.strictObject({
  ...base,
  run: command.describe('A command whose last line is the number.'),
  of: command.optional().describe(OF),
});

const metric = z.union([prometheus, json, program]).superRefine((value, context) => {
  const report = (key: string, message: string): void => {
    context.addIssue({ code: 'custom', path: [key], message });
  };
  const judges = value.max !== undefined || value.min !== undefined;
  const others = 'last_week' in value && value.last_week;
  const { relative_to, max_ratio, min_ratio, at_least, of } = value;
  if (relative_to === undefined) {
    if (!judges && !others) report('name', 'it needs max, min, last_week or relative_to');
    const strays = Object.entries({ max_ratio, min_ratio, of, at_least: at_least || undefined });
    for (const [key, given] of strays) {
      if (given !== undefined) report(key, `${key} goes with relative_to: stable`);
    }
    return;
  }
  if (max_ratio === undefined && min_ratio === undefined) {
    report('relative_to', 'relative_to needs max_ratio or min_ratio');
  }
  if (of !== undefined && at_least > 0) {
    report('at_least', 'at_least is for plain values: with of, the counts decide');
  }
  if ('run' in value) return;
  const [key, asked] =
    'prometheus' in value
      ? (['query', [value.query, value.of]] as const)
      : (['path', [value.path, value.of].map((path) => path && `${value.json} ${path}`)] as const);
  const places = [key, 'of'] as const;
  for (const [index, text] of asked.entries()) {
    if (text === undefined || text.includes(ASKED_RELEASE)) continue;
    report(
      places[index] ?? key,
      `relative_to asks it of two releases: write ${ASKED_RELEASE} where the id of one belongs, such as {release="${ASKED_RELEASE}"}`,
    );
  }
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

/** The metric that tells of how many this one is a count; null where it says none. */
export function totalOf(counted: Metric): Metric | null {
  if ('prometheus' in counted) {
    return counted.of === undefined ? null : { ...counted, query: counted.of };
  }
  if ('json' in counted) return counted.of === undefined ? null : { ...counted, path: counted.of };
  return counted.of === undefined ? null : { ...counted, run: counted.of };
}

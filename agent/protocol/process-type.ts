import { z } from 'zod';
import { duration } from './duration-field.ts';
import { MOST_INSTANCES } from './everyday.ts';
import { size } from './size.ts';

/** What is run, as `zdd.yaml` says it. */
export const command = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
  .describe(
    'A shell line (a single command replaces its shell), or a list of arguments run without a shell.',
  );

const health = z
  .union([
    z
      .string()
      .startsWith('/')
      .transform((path) => ({ path })),
    z.strictObject({
      path: z.string().startsWith('/').default('/'),
      status: z.int().min(100).max(599).default(200).describe('The status that means healthy.'),
      timeout: duration().default(2_000).describe('How long one probe may take.'),
      interval: duration().default(250).describe('The pause between probes while starting.'),
      within: duration().default(30_000).describe('How long a new instance has to become healthy.'),
      successes: z.int().min(1).max(20).default(2).describe('Healthy answers needed in a row.'),
      json: z
        .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
        .default({})
        .describe('Values the JSON answer must have; "$ZDD_RELEASE" stands for the release id.'),
    }),
  ])
  .transform((value) => ({
    status: 200,
    timeout: 2_000,
    interval: 250,
    within: 30_000,
    successes: 2,
    json: {} as Record<string, string | number | boolean>,
    ...value,
  }));

const limits = z.strictObject({
  memory: size()
    .refine((bytes) => bytes >= 16 * 1024 ** 2, 'expected at least 16M')
    .optional()
    .describe('Memory of an instance, all its processes together.'),
  cpu: z
    .string()
    .regex(/^[1-9]\d{0,4}%$/, 'expected percent of one processor, such as "150%"')
    .transform((text) => Number.parseInt(text, 10))
    .optional()
    .describe('Percent of one processor: "150%" is one and a half.'),
  tasks: z
    .int('expected a whole number ≥ 1')
    .min(1, 'expected a whole number ≥ 1')
    .optional()
    .describe('Processes and threads of an instance.'),
  nofile: z
    .int('expected a whole number ≥ 64')
    .min(64, 'expected a whole number ≥ 64')
    .max(1_048_576, 'expected at most 1048576')
    .optional()
    .describe('Open files of each process of an instance.'),
});

/** A process type of `zdd.yaml`. */
export const processType = z.strictObject({
  run: command,
  instances: z
    .int('expected a whole number ≥ 1')
    .min(1, 'expected a whole number ≥ 1')
    .max(MOST_INSTANCES, `expected at most ${MOST_INSTANCES}`)
    .default(1),
  listen: z
    .enum(['socket', 'port', 'fd', 'none'])
    .optional()
    .describe('How the instance gets its place to listen. Default: socket for web, else none.'),
  health: health.optional().describe('Default for a listening process: GET / answers 200.'),
  alive: duration()
    .default(2_000)
    .describe('A process that does not listen is healthy after this.'),
  overlap: z
    .boolean()
    .default(true)
    .describe('false: the old instances are stopped before the new ones start.'),
  stop: z
    .strictObject({ grace: duration().default(10_000).describe('From SIGTERM to SIGKILL.') })
    .prefault({}),
  limits: limits.prefault({}).describe('What an instance may use at most.'),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string()).default({}),
});

/** One process type of a checked `zdd.yaml`. */
export type ProcessType = z.output<typeof processType>;
/** How an instance is probed. */
export type Health = NonNullable<ProcessType['health']>;

/** How the instances of a process type get their place to listen. */
export function listenOf(name: string, type: ProcessType): 'socket' | 'port' | 'fd' | 'none' {
  return type.listen ?? (name === 'web' ? 'socket' : 'none');
}

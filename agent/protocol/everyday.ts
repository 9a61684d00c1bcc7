import { z } from 'zod';

/*
 * `POST /v1/apps/:app/restart`, `scale`, `start` and `stop`. Each answers with a `deploymentReply`:
 * `started`, or with deployment 0 what is so already: `already_started`, `already_stopped`,
 * `already_scaled`; `scaled_for_start` when a stopped app has new numbers for its next start.
 */

const owner = z.string().max(200).default('unknown');
const times = {
  /** How long the fresh instances are watched under traffic, ms; 0 unless told. */
  bakeMs: z.int().min(0).optional(),
  /** How long an instance has to become healthy, ms. */
  probeTimeoutMs: z.int().min(1).optional(),
};

/** Body of start. */
export const againRequest = z.strictObject({ owner, ...times });

/** Body of restart: all process types unless some are named. */
export const restartRequest = z.strictObject({
  owner,
  ...times,
  processes: z.array(z.string()).max(100).optional(),
});
export type AgainRequest = z.input<typeof againRequest>;

/** Body of stop. */
export const stopRequest = z.strictObject({ owner });

/** Body of scale: instances by process type; null goes back to what zdd.yaml says. */
export const scaleRequest = z.strictObject({
  owner,
  ...times,
  processes: z.record(z.string(), z.int().nullable()),
});
export type ScaleRequest = z.input<typeof scaleRequest>;

/** Instances of one process type at the most; that of `instances` in zdd.yaml. */
export const MOST_INSTANCES = 64;

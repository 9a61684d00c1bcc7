import { z } from 'zod';

/**
 * The phases of a deployment, in order; `clearing` and `holding` are for what may not run twice,
 * `renewing` is for workers that are restarted alone, `closing`, `draining` and `stopping` those of a stop, `returning` and `reverting` the way back.
 */
export const PHASES = [
  'receiving',
  'unpacking',
  'releasing',
  'clearing',
  'holding',
  'starting',
  'probing',
  'smoking',
  'admitting',
  'shadowing',
  'canary',
  'rolling',
  'switching',
  'baking',
  'promoting',
  'renewing',
  'closing',
  'draining',
  'stopping',
  'returning',
  'reverting',
] as const;
export const phase = z.enum(PHASES);
export type PhaseName = z.infer<typeof phase>;

/** What a deployment is for. */
export const deploymentKind = z.enum(['deploy', 'rollback', 'restart', 'scale', 'start', 'stop']);
export type DeploymentKind = z.infer<typeof deploymentKind>;

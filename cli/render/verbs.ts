import type { PhaseName } from '../../agent/protocol/phase.ts';

/** Each phase as the verb that people read at the head of its line. */
export const VERBS: Readonly<Record<PhaseName, string>> = {
  receiving: 'receive',
  unpacking: 'unpack',
  releasing: 'release',
  clearing: 'clear',
  holding: 'hold',
  starting: 'start',
  probing: 'probe',
  smoking: 'smoke',
  admitting: 'admit',
  shadowing: 'shadow',
  canary: 'canary',
  switching: 'switch',
  baking: 'bake',
  promoting: 'promote',
  renewing: 'renew',
  closing: 'close',
  draining: 'drain',
  stopping: 'stop',
  returning: 'return',
  rolling: 'roll',
  reverting: 'rollback',
};

import type { Command } from './command.ts';
import { abort } from './commands/abort.ts';
import { attach } from './commands/attach.ts';
import { audit } from './commands/audit.ts';
import { complete } from './commands/complete.ts';
import { completion } from './commands/completion.ts';
import { configCheck } from './commands/config-check.ts';
import { configSchema } from './commands/config-schema.ts';
import { configShow } from './commands/config-show.ts';
import { doctor } from './commands/doctor.ts';
import { events } from './commands/events.ts';
import { init } from './commands/init.ts';
import { lock } from './commands/lock.ts';
import { logs } from './commands/logs.ts';
import { maintenanceOff, maintenanceOn } from './commands/maintenance.ts';
import { promote } from './commands/promote.ts';
import { push } from './commands/push.ts';
import { releases } from './commands/releases.ts';
import { rollback } from './commands/rollback.ts';
import { status } from './commands/status.ts';
import { unlock } from './commands/unlock.ts';
import { why } from './commands/why.ts';

/** Every verb, in the order of a deploy: the order in which help shows them. */
export const COMMANDS: readonly Command[] = [
  init,
  configCheck,
  configShow,
  configSchema,
  push,
  attach,
  promote,
  abort,
  rollback,
  status,
  releases,
  why,
  logs,
  events,
  doctor,
  lock,
  unlock,
  maintenanceOn,
  maintenanceOff,
  audit,
  completion,
  complete,
];

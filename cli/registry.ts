import type { Command } from './command.ts';
import { abort } from './commands/abort.ts';
import { attach } from './commands/attach.ts';
import { audit } from './commands/audit.ts';
import { certAdd } from './commands/cert-add.ts';
import { certLs } from './commands/cert-ls.ts';
import { certRenew } from './commands/cert-renew.ts';
import { certRm } from './commands/cert-rm.ts';
import { complete } from './commands/complete.ts';
import { completion } from './commands/completion.ts';
import { configCheck } from './commands/config-check.ts';
import { configSchema } from './commands/config-schema.ts';
import { configShow } from './commands/config-show.ts';
import { consoleVerb } from './commands/console.ts';
import { contract } from './commands/contract.ts';
import { doctor } from './commands/doctor.ts';
import { drain } from './commands/drain.ts';
import { envImport } from './commands/env-import.ts';
import { envList } from './commands/env-list.ts';
import { envSet } from './commands/env-set.ts';
import { envUnset } from './commands/env-unset.ts';
import { events } from './commands/events.ts';
import { exec } from './commands/exec.ts';
import { init } from './commands/init.ts';
import { lint } from './commands/lint.ts';
import { lock } from './commands/lock.ts';
import { logs } from './commands/logs.ts';
import { maintenanceOff, maintenanceOn } from './commands/maintenance.ts';
import { metrics } from './commands/metrics.ts';
import { notify } from './commands/notify.ts';
import { pause } from './commands/pause.ts';
import { promote } from './commands/promote.ts';
import { push } from './commands/push.ts';
import { releases } from './commands/releases.ts';
import { restart } from './commands/restart.ts';
import { resume } from './commands/resume.ts';
import { retry } from './commands/retry.ts';
import { rollback } from './commands/rollback.ts';
import { scale } from './commands/scale.ts';
import { schema } from './commands/schema.ts';
import { start } from './commands/start.ts';
import { status } from './commands/status.ts';
import { stop } from './commands/stop.ts';
import { unlock } from './commands/unlock.ts';
import { why } from './commands/why.ts';

/** Every verb, in the order of a deploy: the order in which help shows them. */
export const COMMANDS: readonly Command[] = [
  init,
  configCheck,
  configShow,
  configSchema,
  push,
  retry,
  attach,
  promote,
  pause,
  resume,
  abort,
  rollback,
  contract,
  restart,
  scale,
  stop,
  start,
  status,
  drain,
  releases,
  why,
  notify,
  logs,
  events,
  envSet,
  envUnset,
  envList,
  envImport,
  exec,
  consoleVerb,
  doctor,
  lint,
  lock,
  unlock,
  maintenanceOn,
  maintenanceOff,
  certAdd,
  certLs,
  certRenew,
  certRm,
  audit,
  metrics,
  completion(() => COMMANDS),
  complete,
  schema,
];

import { setTimeout as sleep } from 'node:timers/promises';
import { ZddError } from '../protocol/errors.ts';
import { requireBindable } from './bindable.ts';
import { readConfig } from './config/file.ts';
import type { Context } from './context.ts';
import { sendReload, showProcesses } from './master.ts';
import type { Running } from './observe.ts';
import { listeningPorts, type Processes } from './tables.ts';
import { observeNear, onCurrentWorker } from './worker.ts';

/** A reload of which the master shows nothing after this long was lost, ms. */
const LOST_MS = 1_000;
const MAX_SENDS = 4;
const POLL_MS = 5;

/**
 * Reloads gracefully: the new worker takes the listeners over, the old one finishes what it has.
 * Confirmed by a new worker that answers on the admin socket. 2.6 loses a reload sent within
 * milliseconds of another or of the start, so a lost one is sent again. From 2.7 on the master's answer
 * tells at once what became of it.
 * @param options.force also when there are as many old workers as may stand: to undo
 * @returns the new worker as it stands after loading the file
 * @throws ZDD_HAPROXY_RELOAD_FAILED when the new worker did not start: the old one serves on.
 *   ZDD_HAPROXY_TOO_MANY_WORKERS: nothing was sent. ZDD_HAPROXY_CONFIG_INVALID when it could not bind, ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function reload(
  context: Context,
  signal: AbortSignal,
  { force } = { force: false },
): Promise<Running> {
  const { master, options } = context;
  const until = performance.now() + options.reloadMs;
  const before = await showProcesses(master, signal, options.reloadMs);
  if (!force) requireRoom(before, options);
  await requireBindable((await readConfig(options.configPath)) ?? '', () =>
    onCurrentWorker(context, signal, async ({ ask }) => listeningPorts(await ask('show fd'))),
  );
  let said = '';
  for (let sends = 0; sends < MAX_SENDS; sends += 1) {
    said = await sendReload(master, signal);
    if (/^Success=0$/m.test(said)) throw await failed(context, said);
    // What has been answered was not lost.
    const answered = /^Success=1$/m.test(said);
    const lostAt = performance.now() + LOST_MS;
    for (;;) {
      const now = await showProcesses(master, signal, Math.max(0, until - performance.now()));
      if (now.failed > 0 && now.reloads > before.reloads) throw await failed(context, said);
      const running = await taken(context, before, now, signal);
      if (running !== undefined) {
        options.log('info', 'haproxy reloaded', { from: before.current?.pid, to: running.pid });
        return running;
      }
      if (performance.now() > until) throw await failed(context, said);
      if (!answered && now.reloads === before.reloads && performance.now() > lostAt) break;
      await sleep(POLL_MS, undefined, { signal });
    }
    options.log('warn', 'haproxy reload was lost; sending it again', { sends: sends + 1 });
  }
  throw await failed(context, said);
}

/**
 * The new worker, once it is the one behind the admin socket: both listen for a moment, and a
 * command that met the old one would be lost with it.
 */
async function taken(
  context: Context,
  before: Processes,
  now: Processes,
  signal: AbortSignal,
): Promise<Running | undefined> {
  if (now.current === undefined || now.current.pid === before.current?.pid) return undefined;
  const running = await observeNear(context, now.current.pid, signal).catch((error: unknown) => {
    if (error instanceof ZddError && error.code === 'ZDD_HAPROXY_DOWN') return undefined;
    throw error;
  });
  return running?.pid === now.current.pid ? running : undefined;
}

/**
 * Whether one more old worker may stand, asked before anything is changed for a reload.
 * @throws ZDD_HAPROXY_TOO_MANY_WORKERS
 */
export function requireRoom(processes: Processes, options: Context['options']): void {
  if (processes.old.length >= options.maxOldWorkers()) throw tooMany(processes, options);
}

function tooMany({ old }: Processes, { maxOldWorkers }: Context['options']): ZddError {
  return new ZddError(
    'ZDD_HAPROXY_TOO_MANY_WORKERS',
    `A reload is needed, and ${old.length} old HAProxy workers still hold connections (limit ${maxOldWorkers()}).`,
    {
      evidence: [['old workers', old.map(({ pid }) => pid).join(' ')]],
      traffic: 'unchanged',
      tries: ['zdd-agent status', 'zdd-agent push        once one of them has ended'],
    },
  );
}

/** @param said what the master answered: nothing on 2.6, `Success=0` and the startup's words later */
async function failed(context: Context, said: string): Promise<ZddError> {
  const alerts = said.split('\n').filter((line) => /^\[(ALERT|WARNING)\]/.test(line));
  const words = alerts.length > 0 ? alerts.join('\n') : (await context.lastWords()).trim();
  return new ZddError(
    'ZDD_HAPROXY_RELOAD_FAILED',
    'HAProxy did not take the new configuration over; the old worker serves on.',
    {
      evidence: words === '' ? [] : [['HAProxy says', words]],
      traffic: 'unchanged',
      tries:
        context.options.mode === 'system'
          ? ['journalctl -u haproxy -n 20', `haproxy -c -f ${context.options.configPath}`]
          : [`haproxy -c -f ${context.options.configPath}`],
    },
  );
}

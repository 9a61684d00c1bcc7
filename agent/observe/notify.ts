import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What is used of sd-notify's addon, which the package has beside the bundle. */
type SendState = (state: string) => void;

// A checkout has none: nothing is compiled there.
const ADDON = new URL('notify.node', import.meta.url);
let sendState: SendState | null | undefined;

/**
 * Tells systemd about the daemon's state (sd_notify(3)); does nothing outside of systemd. The
 * packaged daemon says it itself, so that `NotifyAccess=main` is enough; from a checkout
 * `systemd-notify` says it.
 * @param state lines such as `READY=1`
 */
export async function notify(state: string): Promise<void> {
  if (process.env['NOTIFY_SOCKET'] === undefined) return;
  sendState ??= loadSendState();
  if (sendState !== null) sendState(state);
  else await run('systemd-notify', state.split('\n'), { timeout: 5_000 });
}

/** How often the watchdog wants a sign, ms: half of its patience; null when there is none. */
export function watchdogIntervalMs(): number | null {
  const { WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = process.env;
  const mine = pid === undefined || Number(pid) === process.pid;
  const patienceUsec = Number(usec ?? 0);
  return mine && patienceUsec > 0 ? Math.floor(patienceUsec / 2_000) : null;
}

function loadSendState(): SendState | null {
  if (!existsSync(ADDON)) return null;
  const addon: unknown = createRequire(import.meta.url)('./notify.node');
  if (typeof addon !== 'object' || addon === null || !('sendState' in addon)) return null;
  const { sendState: send } = addon;
  return typeof send === 'function' ? (state) => void send(state) : null;
}

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Tells systemd about the daemon's state (sd_notify(3)); does nothing outside of systemd. */
export async function notify(state: string): Promise<void> {
  if (process.env['NOTIFY_SOCKET'] === undefined) return;
  await run('systemd-notify', [state], { timeout: 5_000 });
}

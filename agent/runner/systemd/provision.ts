import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostPreparation } from '../runner.ts';
import { systemctl } from './bus.ts';
import { keepWritten } from './durable-file.ts';
import { provisionFailed } from './failures.ts';
import { provisionUnitOf } from './unit-names.ts';

/** What the root step takes, seconds. */
const LONGEST_STOP_S = 3_600;

/**
 * Asks root for what an app needs: user, folders, units. Root takes the app's name from the unit's
 * and nothing but these lines from the agent.
 * @throws ZDD_START_FAILED with the last words of the root step; the reason of `signal`
 */
export async function provision(
  request: HostPreparation,
  stateDir: string,
  signal: AbortSignal,
): Promise<void> {
  const { app } = request;
  const folder = join(stateDir, 'provision');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await keepWritten(join(folder, app), requestText(request), 0o600);
  const unit = provisionUnitOf(app);
  const { ok, said } = await systemctl(['start', unit], signal);
  if (!ok) throw await provisionFailed(app, unit, said, signal);
}

/** The lines of a request. */
export function requestText({ stopTimeoutMs, allow, calendars }: HostPreparation): string {
  const seconds = Math.min(LONGEST_STOP_S, Math.max(1, Math.ceil(stopTimeoutMs / 1_000)));
  const times = Object.entries(calendars).flatMap(([job, all]) =>
    all.map((calendar) => `cron=${job} ${calendar}\n`),
  );
  return `stop_timeout=${seconds}\nallow=${allow.join(' ')}\n${times.join('')}`;
}

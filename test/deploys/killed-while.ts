import { expect } from 'vitest';
import type { Receipt, ZddEvent } from '../../agent/protocol/events.ts';
import type { PrivateHost } from '../../demo/private-host.ts';

/** What became of a deployment in whose middle the daemon was killed. */
export interface Killed {
  readonly receipt: Receipt;
  /** All that was told since it began. */
  readonly told: readonly ZddEvent[];
}

/**
 * Begins a deployment, kills the daemon once it is in that phase, starts it again and waits for the end.
 * @param begin arguments of a CLI that starts one and detaches
 */
export async function killedWhile(
  host: PrivateHost,
  phase: string,
  begin: readonly string[],
): Promise<Killed> {
  const since = (await host.events()).at(-1)?.seq ?? 0;
  const begun = await host.cli([...begin, '--detach', '--json']);
  expect(begun.stderr).not.toContain('ZDD_');
  await host.until(`the phase ${phase}`, 30_000, async () =>
    (await host.events(since)).some((told) => told.type === 'phase_changed' && told.to === phase),
  );
  await host.stopDaemon('SIGKILL');
  await host.startDaemon();
  const ended = await host.until('the deployment to end', 40_000, async () =>
    (await host.events(since)).find((told) => told.type === 'deployment_ended'),
  );
  if (ended.type !== 'deployment_ended') throw new Error('not an end');
  return { receipt: ended.receipt, told: await host.events(since) };
}

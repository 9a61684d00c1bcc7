import { afterEach, beforeEach, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { ledgerOf, push, settled, shop } from './shop.ts';

let host: PrivateHost;
let load: Load;

/** Of a dozen steps; some end while the daemon comes back, and are not waited for. */
const MANY_KILLS = 4;
/** A kill and a start of the daemon for each of a dozen steps. */
const WITHIN_MS = 240_000;
const INSTANCES = { processes: { web: { instances: 2 }, worker: { alive: '100ms' } } } as const;

beforeEach(async () => {
  host = await PrivateHost.start();
  expect((await push(host, { behaviour: { version: 'v1' }, config: INSTANCES })).code).toBe(0);
  load = startLoad({
    url: host.url,
    rate: 100,
    websockets: 6,
    ledger: ledgerOf(host),
    closedByDrain: () => true,
  });
  await load.ready(20_000);
});
afterEach(async () => {
  await load.stop();
  await host.remove();
});

async function begin(bake: string): Promise<number> {
  const { path } = await shop(host, {
    behaviour: { version: 'v2' },
    config: {
      ...INSTANCES,
      bake,
      drain: { websockets: '500ms', pace: '500/s' },
      strategy: { rolling: { hold: '300ms' } },
    },
  });
  const { stdout, stderr } = await host.cli(['push', path, '--detach', '--json']);
  expect(stderr).not.toContain('ZDD_');
  return Number(JSON.parse(stdout.trim().split('\n').at(-1) ?? '').deployment);
}

/** Kills the daemon after each step of this phase, until the deployment has left it. Returns how often. */
async function killAfterEach(phase: 'rolling' | 'returning', id: number): Promise<number> {
  let kills = 0;
  for (;;) {
    const before = await stepsOf(phase, id);
    const isOver = await host.until(`a step of ${phase}`, 30_000, async () => {
      if (await hasLeft(phase, id)) return 'over';
      return (await stepsOf(phase, id)) > before && 'goes on';
    });
    if (isOver === 'over') return kills;
    kills += 1;
    await host.stopDaemon('SIGKILL');
    await host.startDaemon();
  }
}

async function stepsOf(phase: string, id: number): Promise<number> {
  return (await host.events(0)).filter(
    (told) => told.type === 'step_done' && told.deployment === id && told.step.phase === phase,
  ).length;
}

async function hasLeft(phase: string, id: number): Promise<boolean> {
  return (await host.events(0)).some(
    (told) =>
      told.deployment === id &&
      (told.type === 'deployment_ended' || (told.type === 'phase_changed' && told.from === phase)),
  );
}

async function wholeOn(release: string | null | undefined): Promise<void> {
  await settled(host);
  const app = await host.app('shop');
  expect(app?.live).toBe(release);
  expect(app?.generations.map(({ role, traffic }) => [role, traffic])).toEqual([['stable', 100]]);
  const instances = app?.generations[0]?.instances ?? [];
  expect(instances.map(({ state }) => state)).toEqual(Array(3).fill('running'));
  const report = await load.stop();
  expect(report.losses).toEqual([]);
  expect(report.ledger?.duplicates).toEqual([]);
  expect(report.ledger?.workerOverlaps).toBe(0);
}

test(
  'SIGKILL after each step of the way there: it is finished',
  async () => {
    const id = await begin('300ms');
    expect(await killAfterEach('rolling', id)).toBeGreaterThan(MANY_KILLS);
    const receipt = await host.receipt('shop', id);
    expect(receipt.outcome, JSON.stringify(receipt.error)).toBe('succeeded');
    await wholeOn(receipt.release);
  },
  WITHIN_MS,
);

test(
  'SIGKILL after each step of the way back, from its bake: it is finished',
  async () => {
    const before = (await host.app('shop'))?.live;
    const id = await begin('1h');
    await host.until('the bake', 60_000, async () => hasLeft('rolling', id));
    expect((await host.cli(['rollback', '--app', 'shop', '--detach'])).code).toBe(0);
    expect(await killAfterEach('returning', id)).toBeGreaterThan(MANY_KILLS);
    expect((await host.receipt('shop', id)).outcome).toBe('rolled_back');
    await wholeOn(before);
  },
  WITHIN_MS,
);

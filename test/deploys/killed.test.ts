import { afterAll, beforeAll, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { killedWhile } from './killed-while.ts';
import { ledgerOf, push, settled, shop } from './shop.ts';

let host: PrivateHost;
let load: Load;
beforeAll(async () => {
  host = await PrivateHost.start();
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
  load = startLoad({ url: host.url, rate: 150, ledger: ledgerOf(host) });
  await load.ready(20_000);
});
afterAll(async () => {
  await load.stop();
  await host.remove();
});

const phases = [
  'unpacking',
  'releasing',
  'starting',
  'probing',
  'admitting',
  'switching',
  'baking',
];

for (const phase of [...phases, 'promoting']) {
  test(`SIGKILL while ${phase}: finished or undone, and nothing is lost`, async () => {
    const { path } = await shop(host, {
      behaviour: { version: `killed-while-${phase}`, slowStartMs: 300 },
      config: { bake: '500ms', release: 'sleep 0.3' },
    });
    const { receipt, told } = await killedWhile(host, phase, ['push', path]);
    // On a busy machine the kill comes a phase later than it was sent.
    const killed = told.findIndex(({ type }) => type === 'recovered');
    const last = told.slice(0, killed).findLast(({ type }) => type === 'phase_changed');
    const undone = last?.type === 'phase_changed' && last.to === 'releasing';
    expect(receipt.outcome, JSON.stringify(told, null, 1)).toBe(undone ? 'failed' : 'succeeded');
    await settled(host);
    const app = await host.app('shop');
    expect(app?.generations.map(({ role }) => role)).toEqual(['stable']);
    expect(app?.generations[0]?.instances.every(({ state }) => state === 'running')).toBe(true);
    expect(load.snapshot().lost).toBe(0);
  });
}

test('SIGKILL in the middle of the way back: it is finished', async () => {
  const { path } = await shop(host, {
    behaviour: { version: 'fails', failAfterRequests: 1 },
    config: { bake: '20s', gates: { min_requests: 20, min_errors: 3 } },
  });
  const { receipt } = await killedWhile(host, 'reverting', ['push', path]);
  expect(receipt.outcome).toBe('rolled_back');
  await settled(host);
  expect(load.snapshot().lost).toBe(0);
});

test('a daemon that is stopped in the middle of a deployment goes on with it', async () => {
  const { path } = await shop(host, {
    behaviour: { version: 'stopped', slowStartMs: 300 },
    config: { bake: '1s' },
  });
  const since = (await host.events()).at(-1)?.seq ?? 0;
  await host.cli(['push', path, '--detach', '--json']);
  await host.until('it to bake', 20_000, async () =>
    (await host.events(since)).some(
      (told) => told.type === 'phase_changed' && told.to === 'baking',
    ),
  );
  await host.stopDaemon('SIGTERM');
  expect(await host.log()).toContain('agent stopping');
  await host.startDaemon();
  const ended = await host.until('the end', 30_000, async () =>
    (await host.events(since)).find((told) => told.type === 'deployment_ended'),
  );
  if (ended.type !== 'deployment_ended') throw new Error('not an end');
  expect(ended.receipt.outcome).toBe('succeeded');
  const report = await load.stop();
  expect(report.losses).toEqual([]);
  expect(report.ledger?.duplicates).toEqual([]);
  expect(report.ledger?.workerOverlaps).toBe(0);
});

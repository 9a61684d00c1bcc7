import { afterAll, beforeAll, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { alone, pushAlone, startedTwice } from './alone-app.ts';
import { killedWhile } from './killed-while.ts';
import { ledgerOf, push, settled, shop } from './shop.ts';

let host: PrivateHost;
let load: Load;
beforeAll(async () => {
  // By reload nobody can wait: hold-by-reload.test.ts.
  host = await PrivateHost.start({ haproxy: { switch: 'auto' } });
  expect((await pushAlone(host, { version: 'v1' })).code).toBe(0);
  load = startLoad({
    url: host.url,
    rate: 150,
    ledger: ledgerOf(host),
    websockets: 20,
    closedByDrain: () => true,
    deadlineMs: 30_000,
  });
  await load.ready(20_000);
});
afterAll(async () => {
  await load.stop();
  await host.remove();
});

/** What must hold after anything that was done to the app. */
async function nothingIsLost(): Promise<void> {
  await settled(host);
  expect(load.snapshot()).toMatchObject({ lost: 0 });
  expect(await startedTwice(host)).toEqual([]);
}

test('a gap of five seconds between old and new loses nothing', async () => {
  const before = load.snapshot().requests;
  const since = (await host.events()).at(-1)?.seq ?? 0;
  const pushing = pushAlone(host, { version: 'v2', slowStartMs: 5_000 });
  await host.until('requests to wait', 20_000, async () =>
    (await host.events(since)).some(
      (told) => told.type === 'phase_changed' && told.to === 'starting',
    ),
  );
  // Another app comes meanwhile, which needs a reload: it has to wait for those who do.
  const blog = await push(host, {
    behaviour: { version: 'blog' },
    config: { app: 'blog', routes: ['blog.example.com'] },
  });
  expect(blog.code).toBe(0);
  const pushed = await pushing;
  expect((await host.cli(['stop', '--app', 'blog'])).code).toBe(0);
  expect(pushed.stdout + pushed.stderr).toContain('live: r2-');
  expect(pushed.code).toBe(0);
  await load.firstAnswerFrom('v2', { timeoutMs: 10_000 }).catch(() => undefined);
  await nothingIsLost();
  expect(load.snapshot().requests).toBeGreaterThan(before);
});

test('a release that never becomes healthy makes place again, and nothing is lost', async () => {
  const pushed = await pushAlone(
    host,
    { version: 'v3', health: 'never' },
    { hold: { within: '10s' } },
  );
  expect(pushed.stderr).toContain('ZDD_PROBE_TIMEOUT');
  expect(pushed.code).toBe(20);
  expect((await host.app('shop'))?.live).toMatch(/^r2-/);
  await nothingIsLost();
});

test('a release that fails while it is watched makes place again', async () => {
  const pushed = await pushAlone(
    host,
    { version: 'v4', failAfterRequests: 20 },
    { bake: '20s', gates: { min_requests: 20, min_errors: 3 } },
  );
  expect(pushed.stderr).toContain('ZDD_GATE_FAILED');
  expect(pushed.code).toBe(21);
  expect((await host.app('shop'))?.live).toMatch(/^r2-/);
  await nothingIsLost();
});

test('rollback and restart let requests wait in the same way', async () => {
  expect((await host.cli(['rollback', '--app', 'shop'])).stderr).toContain('r1-');
  await nothingIsLost();
  expect((await host.cli(['restart', '--app', 'shop'])).code).toBe(0);
  await nothingIsLost();
  expect((await host.app('shop'))?.live).toMatch(/^r1-/);
});

for (const phase of [
  'clearing',
  'holding',
  'starting',
  'probing',
  'admitting',
  'switching',
  'baking',
  'promoting',
]) {
  test(`SIGKILL while ${phase}: finished or undone, nothing lost, nothing twice`, async () => {
    const { path } = await shop(
      host,
      alone({ version: `killed-while-${phase}`, slowStartMs: 300 }, { bake: '500ms' }),
    );
    const { receipt, told } = await killedWhile(host, phase, ['push', path]);
    expect(receipt.outcome, JSON.stringify(told, null, 1)).toBe('succeeded');
    await nothingIsLost();
  });
}

test('SIGKILL in the middle of the way back: it is finished', async () => {
  const { path } = await shop(host, alone({ version: 'dies', crashAfterMs: 1 }));
  await killedWhile(host, 'returning', ['push', path]);
  await nothingIsLost();
});

test('stop and start: what asks meanwhile is told to come back, and does not wait', async () => {
  const report = await load.stop();
  expect(report.losses).toEqual([]);
  expect(report.ledger?.duplicates).toEqual([]);
  expect((await host.cli(['stop', '--app', 'shop'])).code).toBe(0);
  const answer = await fetch(host.url);
  expect(answer.status).toBe(503);
  expect((await host.cli(['start', '--app', 'shop'])).code).toBe(0);
  expect((await fetch(host.url)).status).toBe(200);
  expect(await startedTwice(host)).toEqual([]);
});

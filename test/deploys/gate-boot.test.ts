import { afterAll, beforeAll, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { push } from './shop.ts';

let host: PrivateHost;
beforeAll(async () => {
  host = await PrivateHost.start();
  const behaviour = { version: 'v1', slowStartMs: 2_000 };
  expect((await push(host, { behaviour })).code).toBe(0);
});
afterAll(async () => {
  await host.remove();
});

const visit = async (): Promise<number> => (await fetch(host.url)).status;
const maintenance = (to: 'on' | 'off') => host.cli(['maintenance', to, '--app', 'shop']);

async function pids(): Promise<number[]> {
  const { generations = [] } = (await host.app('shop')) ?? {};
  return generations
    .flatMap(({ instances }) => instances)
    .flatMap(({ pid }) => (pid == null ? [] : [pid]));
}

test('while the agent puts things in order after a boot, nobody lets visitors in yet', async () => {
  expect((await maintenance('on')).code).toBe(0);
  const running = await pids();
  await host.stopDaemon('SIGKILL');
  for (const pid of running) process.kill(pid, 'SIGKILL');
  const ready = host.startDaemon();
  await host.until('maintenance to end', 30_000, async () => (await maintenance('off')).code === 0);
  expect(await visit()).toBe(200);
  await ready;
});

test('a maintenance prolonged while its end waits for the app ends when the new one says', async () => {
  const shut = (forMs: number) =>
    host.api('POST', '/v1/apps/shop/maintenance', { on: true, owner: 'me', forMs });
  const ends = async () =>
    (await host.events(since)).filter((told) => told.type === 'maintenance_changed' && !told.on);
  const since = (await host.events()).at(-1)?.seq ?? 0;
  const [pid = expect.fail('nothing runs')] = await pids();
  await shut(1_000);
  const until = (await host.app('shop'))?.maintenance?.until ?? expect.fail('it has no end');
  process.kill(pid, 'SIGSTOP');
  await host.until('its end to wait for the app', 20_000, async () => Date.now() > until + 2_000);
  expect(await ends()).toEqual([]);
  await shut(4_000);
  const prolonged = (await host.app('shop'))?.maintenance?.until ?? expect.fail('it has no end');
  process.kill(pid, 'SIGCONT');
  const [end] = await host.until('the new end', 20_000, async () => {
    const told = await ends();
    return told.length > 0 && told;
  });
  expect(end?.at).toBeGreaterThanOrEqual(prolonged);
});

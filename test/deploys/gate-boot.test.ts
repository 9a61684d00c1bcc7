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

test('while the agent puts things in order after a boot, nobody lets visitors in yet', async () => {
  expect((await maintenance('on')).code).toBe(0);
  const { generations = [] } = (await host.app('shop')) ?? {};
  await host.stopDaemon('SIGKILL');
  for (const { pid } of generations.flatMap(({ instances }) => instances)) {
    if (pid != null) process.kill(pid, 'SIGKILL');
  }
  const ready = host.startDaemon();
  await host.until('maintenance to end', 30_000, async () => (await maintenance('off')).code === 0);
  expect(await visit()).toBe(200);
  await ready;
});

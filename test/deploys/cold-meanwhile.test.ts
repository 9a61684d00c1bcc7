import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deploymentReply } from '../../agent/protocol/api.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import { push } from './shop.ts';

/** More than it takes until a release on its way out is looked at again, ms. */
const FROZEN_MS = 240;

let host: PrivateHost;
beforeAll(async () => {
  host = await PrivateHost.start();
  for (const version of ['v1', 'v2']) {
    expect((await push(host, { behaviour: { version }, config: { warm: '1500ms' } })).code).toBe(0);
  }
});
afterAll(() => host.remove());

/** By a connection of its own: one that is kept stays with the worker it was made to. */
async function answer(): Promise<string> {
  return await (await fetch(host.url, { headers: { connection: 'close' } })).text();
}

/** The processes that serve, below the master. */
async function workers(): Promise<number[]> {
  const record = await readFile(join(host.stateDir, 'haproxy/haproxy.process.json'), 'utf8');
  const { pid }: { pid: number } = JSON.parse(record);
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return children.trim().split(' ').map(Number);
}

test('a rollback to a release that stops being warm at this moment starts it afresh', async () => {
  for (const wanted of ['v1', 'v2', 'v1']) {
    const warm = await host.until('the one before to be warm', 20_000, async () => {
      const app = await host.app('shop');
      const found = app?.generations.find(({ role }) => role === 'warm');
      return app?.deployment === null && found !== undefined && found;
    });
    await sleep((warm.warmUntil ?? 0) - Date.now());
    // Both the look for its last connection and the rollback now wait for HAProxy, in this order.
    const frozen = await workers();
    for (const pid of frozen) process.kill(pid, 'SIGSTOP');
    await sleep(FROZEN_MS);
    const asked = host.api('POST', '/v1/apps/shop/rollback', { owner: 'me' });
    await sleep(50);
    for (const pid of frozen) process.kill(pid, 'SIGCONT');
    const reply = await asked;
    expect(reply).toMatchObject({ result: 'started' });
    const { deployment } = deploymentReply.parse(reply);
    expect((await host.receipt('shop', deployment)).outcome).toBe('succeeded');
    expect(await answer()).toContain(wanted);
  }
});

test('a rollback that meets the end of the deployment it was meant for takes back what that brought', async () => {
  const pushed = {
    behaviour: { version: 'v3' },
    config: { processes: { worker: { alive: '400ms' } } },
  };
  await push(host, pushed, ['--detach']);
  await host.until('the last step', 20_000, async () => {
    return (await host.app('shop'))?.deployment?.phase === 'promoting';
  });
  // Before the end is written down HAProxy is asked for its counters.
  const frozen = await workers();
  for (const pid of frozen) process.kill(pid, 'SIGSTOP');
  await sleep(600);
  const asked = host.api('POST', '/v1/apps/shop/rollback', { owner: 'me' });
  await sleep(500);
  for (const pid of frozen) process.kill(pid, 'SIGCONT');
  const { deployment } = deploymentReply.parse(await asked);
  expect((await host.receipt('shop', deployment)).kind).toBe('rollback');
  expect(await answer()).toContain('v1');
});

import { afterAll, beforeAll, expect, test } from 'vitest';
import { deploymentReply } from '../../agent/protocol/api.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import { push } from './shop.ts';

let host: PrivateHost;
beforeAll(async () => {
  host = await PrivateHost.start();
  for (const version of ['v1', 'v2']) {
    expect((await push(host, { behaviour: { version } })).code).toBe(0);
  }
});
afterAll(() => host.remove());

async function ask(verb: string, request: string) {
  const path = `/v1/apps/shop/${verb}`;
  const headers = { 'x-zdd-request': request };
  return deploymentReply.parse(await host.api('POST', path, { owner: 'me' }, headers));
}

/** As who asks over a way that was cut: the answer was on it when the agent was killed. */
async function askTwice(verb: string, request: string) {
  const first = await ask(verb, request);
  await host.stopDaemon('SIGKILL');
  await host.startDaemon();
  return { first, second: await ask(verb, request) };
}

test('a rollback whose answer died with the agent is not taken back by asking again', async () => {
  const { first, second } = await askTwice('rollback', 'one');
  expect(second).toMatchObject({ deployment: first.deployment, result: 'started' });
  const receipt = await host.receipt('shop', first.deployment);
  expect(receipt).toMatchObject({ kind: 'rollback', outcome: 'succeeded' });
  expect((await host.app('shop'))?.live).toMatch(/^r1-/);
  // All there is to see of it comes after what the answer says.
  const told = await host.events(second.since);
  expect(told.some(({ type }) => type === 'deployment_started')).toBe(true);
});

test('one who was told to abort is told so again, and whoever asks anew is answered anew', async () => {
  await push(host, { behaviour: { version: 'v3' }, config: { bake: '60s' } }, ['--detach']);
  await host.until('it to bake', 20_000, async () => {
    return (await host.app('shop'))?.deployment?.phase === 'baking';
  });
  const { first, second } = await askTwice('abort', 'two');
  expect(first.result).toBe('aborting');
  expect(second).toMatchObject({ deployment: first.deployment, result: 'aborting' });
  expect((await host.receipt('shop', first.deployment)).outcome).toBe('aborted');
  await expect(ask('abort', 'three')).rejects.toThrow();
});

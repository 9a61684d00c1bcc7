import { spawn } from 'node:child_process';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { layOutRelease } from '../../examples/build-release.ts';
import { push, QUICK } from './shop.ts';

let host: PrivateHost;
beforeAll(async () => {
  host = await PrivateHost.start();
});
afterAll(async () => {
  await host.remove();
});

async function json(args: readonly string[]): Promise<unknown> {
  const { stdout, stderr, code } = await host.cli([...args, '--json']);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}

describe('everyday verbs against the real daemon', () => {
  test('a folder is pushed; status, releases, why, logs, events and doctor tell of it', async () => {
    const folder = join(host.dir, 'project');
    await mkdir(folder);
    const config = { ...QUICK, warm: '60s' };
    await layOutRelease(folder, { behaviour: { version: 'v1' }, config });
    const pushed = await host.cli(['push', folder]);
    expect(pushed.stdout + pushed.stderr).toContain('live: r1-');
    expect(pushed.code).toBe(0);
    expect(await json(['status'])).toMatchObject({
      apps: [{ app: 'shop', live: expect.stringMatching(/^r1-/), deployment: null }],
      attention: [],
    });
    expect(await json(['releases', 'shop'])).toMatchObject({ releases: [{ state: 'live' }] });
    expect(await json(['why', '1', '--app', 'shop'])).toMatchObject({
      outcome: 'succeeded',
      lost: 0,
    });
    expect((await host.cli(['logs', '--app', 'shop'])).stdout).toContain('worker runs');
    expect((await host.cli(['events'])).stdout).toContain('traffic');
    expect((await host.cli(['doctor'])).code).toBe(0);
  });

  test('the same content again is the same release, and no second copy', async () => {
    const again = await host.cli(['push', join(host.dir, 'project')]);
    expect(again.stdout + again.stderr).toContain('already on the host');
    expect(await readdir(join(host.stateDir, 'apps/shop/releases'))).toHaveLength(1);
  });

  test('rollback and roll forward while warm start no process', async () => {
    const second = await push(host, { behaviour: { version: 'v2' }, config: { warm: '60s' } });
    expect(second.code).toBe(0);
    const before = await pids();
    expect((await host.cli(['rollback', '--app', 'shop'])).code).toBe(0);
    expect((await host.app('shop'))?.live).toMatch(/^r1-/);
    expect((await host.cli(['rollback', '--app', 'shop'])).code).toBe(0);
    expect((await host.app('shop'))?.live).toMatch(/^r2-/);
    expect(await pids()).toEqual(before);
  });

  test('rollback to what is live already says so', async () => {
    const { code, stdout, stderr } = await host.cli(['rollback', 'r2', '--app', 'shop']);
    expect(code).toBe(0);
    expect(stdout + stderr).toContain('already');
  });

  test('abort ends a deployment that bakes, promote ends the bake early', async () => {
    await push(host, { behaviour: { version: 'v3' }, config: { bake: '60s' } }, ['--detach']);
    await host.until('it to bake', 20_000, async () => {
      return (await host.app('shop'))?.deployment?.phase === 'baking';
    });
    await host.cli(['abort', '--app', 'shop']);
    expect((await host.app('shop'))?.live).toMatch(/^r2-/);
    await push(host, { behaviour: { version: 'v3' }, config: { bake: '60s' } }, ['--detach']);
    await host.until('it to bake', 20_000, async () => {
      return (await host.app('shop'))?.deployment?.phase === 'baking';
    });
    expect((await host.cli(['promote', '--app', 'shop'])).code).toBe(0);
    await host.until('it to be live', 20_000, async () =>
      (await host.app('shop'))?.live?.startsWith('r3-'),
    );
  });

  test('the control API serves the OpenAPI document of its own schemas', async () => {
    expect(await host.api('GET', '/openapi.json')).toMatchObject({
      openapi: expect.any(String),
      paths: { '/v1/deployments': { post: expect.any(Object) }, '/v1/status': {} },
    });
  });

  test('the socket is for owner and group only', async () => {
    expect((await stat(host.socket)).mode & 0o777).toBe(0o660);
  });

  test('a second agent on the same socket is refused', async () => {
    const second = spawn('bin/zdd-agentd', ['--config', join(host.dir, 'agent.yaml')]);
    let said = '';
    second.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const code = await new Promise((resolve) => second.once('close', resolve));
    expect(said).toContain('ZDD_AGENT_BUSY');
    expect(code).toBe(11);
  });
});

/** Web processes of the app; background workers change hands, so theirs differ. */
async function pids(): Promise<number[]> {
  const app = await host.app('shop');
  return (app?.generations ?? [])
    .flatMap(({ instances }) => instances)
    .filter(({ process }) => process === 'web')
    .map(({ pid }) => pid ?? 0)
    .toSorted((a, b) => a - b);
}

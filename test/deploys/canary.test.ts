import { afterEach, beforeEach, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import type { ConfigValue, ShopBehaviour } from '../../examples/build-release.ts';
import { push, settled, shop } from './shop.ts';
import { Crowd, User } from './users.ts';

let host: PrivateHost;
let crowd: Crowd;

beforeEach(async () => {
  host = await PrivateHost.start();
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
  crowd = new Crowd(host.url, 200, 250);
});
afterEach(async () => {
  await crowd.stop();
  await host.remove();
});

type Config = { readonly [key: string]: ConfigValue };

/** Pushes a canary and lets go. Returns its number. */
async function begin(
  steps: readonly ConfigValue[],
  behaviour: ShopBehaviour = { version: 'v2' },
  config: Config = {},
): Promise<number> {
  const { path } = await shop(host, {
    behaviour,
    config: { strategy: steps, bake: '500ms', ...config },
  });
  const { stdout, stderr } = await host.cli(['push', path, '--detach', '--json']);
  expect(stderr).not.toContain('ZDD_');
  return Number(JSON.parse(stdout.trim().split('\n').at(-1) ?? '').deployment);
}

/** Waits until this step, or one after it, is under way. Returns the candidate. */
async function reaches(step: number): Promise<string> {
  return await host.until(`step ${step}`, 20_000, async () => {
    const deployment = (await host.app('shop'))?.deployment;
    return (deployment?.canary?.step ?? 0) >= step && (deployment?.release ?? false);
  });
}

/** The same, and all users have been there since. */
async function inStep(step: number): Promise<string> {
  const release = await reaches(step);
  const before = crowd.users.map(({ visits }) => visits.length);
  await host.until('all users to have been there', 20_000, async () =>
    crowd.users.every(({ visits }, index) => visits.length > (before[index] ?? 0) + 1),
  );
  return release;
}

/** No user saw an error, and none who was on `release` ever came to another one. */
function nobodyWentBack(release: string): void {
  for (const { visits } of crowd.users) {
    expect(visits.every(({ status }) => status === 200)).toBe(true);
    const first = visits.findIndex((visit) => visit.release === release);
    if (first < 0) continue;
    expect(visits.slice(first).every((visit) => visit.release === release)).toBe(true);
  }
}

test('a share of the users that grows, and sends nobody back', async () => {
  const id = await begin([
    { weight: '20%' },
    { hold: '3s' },
    { weight: '60%' },
    { hold: '3s' },
    { ramp: '60%..90% over 3s' },
  ]);
  const release = await inStep(2);
  expect(crowd.shareOf(release)).toBeGreaterThan(0.08);
  expect(crowd.shareOf(release)).toBeLessThan(0.35);
  const status = await host.app('shop');
  expect(status?.generations.map(({ role, traffic }) => [role, traffic])).toEqual([
    ['stable', 80],
    ['candidate', 20],
  ]);
  expect(status?.deployment?.canary).toMatchObject({
    doing: 'hold 3.0s',
    percent: 20,
    paused: null,
  });
  await inStep(4);
  expect(crowd.shareOf(release)).toBeGreaterThan(0.45);
  expect(crowd.shareOf(release)).toBeLessThan(0.75);
  const receipt = await host.receipt('shop', id);
  expect(receipt).toMatchObject({ outcome: 'succeeded', lost: 0 });
  const canary = receipt.steps.filter(({ phase }) => phase === 'canary');
  expect(canary.map(({ summary }) => summary)).toEqual([
    `20 % of the users on ${release}`,
    expect.stringMatching(/^20 % for 3\.\ds: [\d,]+ requests, 0\.00 % errors/),
    `60 % of the users on ${release}`,
    expect.stringMatching(/^60 % for 3\.\ds: [\d,]+ requests/),
    `60 % of the users on ${release}`,
  ]);
  await settled(host);
  nobodyWentBack(release);
});

test('paused, resumed, promoted, and promoted in full', async () => {
  const id = await begin([
    { weight: '10%' },
    { gate: 'manual' },
    { weight: '50%' },
    { hold: '1h' },
  ]);
  const release = await inStep(2);
  await host.until('the gate to pause it', 10_000, async () =>
    ((await host.app('shop'))?.deployment?.canary?.paused ?? '').includes('manual'),
  );
  expect(crowd.shareOf(release)).toBeLessThan(0.25);
  expect((await host.cli(['promote', '--detach', '--app', 'shop'])).stdout).toContain('promoting');
  await inStep(4);
  expect(crowd.shareOf(release)).toBeGreaterThan(0.35);
  expect((await host.cli(['pause', '--app', 'shop'])).stdout).toContain('pausing');
  expect((await host.cli(['pause', '--app', 'shop'])).stdout).toContain('paused already');
  expect((await host.app('shop'))?.deployment?.canary?.paused).toContain('paused by');
  expect((await host.cli(['resume', '--detach', '--app', 'shop'])).stdout).toContain('resuming');
  expect((await host.app('shop'))?.deployment?.canary?.paused).toBe(null);
  expect((await host.cli(['promote', '--full', '--app', 'shop'])).code).toBe(0);
  expect((await host.receipt('shop', id)).outcome).toBe('succeeded');
  await settled(host);
  nobodyWentBack(release);
  const refused = await host.cli(['pause', '--app', 'shop']);
  expect(refused.stderr).toContain('ZDD_NOTHING_RUNNING');
});

test('the team sees the candidate before anybody else', async () => {
  await begin(
    [{ gate: 'manual' }, { weight: '50%' }],
    { version: 'v2' },
    {
      preview: { header: 'X-Preview: let-me-see', cookie: 'preview' },
    },
  );
  const release = await inStep(1);
  const user = new User();
  expect((await user.visit(host.url, { 'x-preview': 'let-me-see' })).release).toBe(release);
  expect((await user.visit(host.url, { 'x-preview': 'no' })).release).not.toBe(release);
  expect((await new User().visit(host.url, { cookie: 'preview=1' })).release).toBe(release);
  expect(crowd.shareOf(release)).toBe(0);
  expect((await host.cli(['abort', '--app', 'shop'])).code).toBe(0);
  await settled(host);
  expect(crowd.shareOf(release)).toBe(0);
  expect((await user.visit(host.url, { 'x-preview': 'let-me-see' })).status).toBe(200);
});

test('SIGKILL at each step of a canary: it goes on, and nobody goes back', async () => {
  const id = await begin([
    { weight: '30%' },
    { hold: '2s' },
    { weight: '70%' },
    { gate: 'manual' },
    { hold: '1s' },
  ]);
  let release = '';
  for (const step of [1, 2, 3, 4]) {
    release = await reaches(step);
    await host.stopDaemon('SIGKILL');
    await host.startDaemon();
  }
  const paused = async () => (await host.app('shop'))?.deployment?.canary?.paused ?? null;
  await host.until('the gate to pause it', 10_000, async () => (await paused()) !== null);
  await host.stopDaemon('SIGKILL');
  await host.startDaemon();
  expect(await paused()).toContain('manual');
  expect(crowd.shareOf(release)).toBeGreaterThan(0.5);
  expect((await host.cli(['promote', '--app', 'shop'])).code).toBe(0);
  expect((await host.receipt('shop', id)).outcome).toBe('succeeded');
  await settled(host);
  nobodyWentBack(release);
});

test('by flag, for one deployment; one that cannot be read changes nothing', async () => {
  const { path } = await shop(host, { behaviour: { version: 'v2' }, config: { bake: '300ms' } });
  const before = await host.app('shop');
  const refused = await host.cli(['push', path, '--strategy', '[{ wait: 5m }]']);
  expect(refused.stderr).toContain('ZDD_CONFIG_INVALID');
  expect(refused.stderr).toContain('unknown key "wait"');
  expect((await host.app('shop'))?.deployment).toEqual(before?.deployment);
  const pushed = await host.cli(['push', path, '--strategy', '[weight: 40%, hold: 1s]']);
  expect(pushed.code, pushed.stderr).toBe(0);
  const live = (await host.app('shop'))?.live ?? '';
  expect(pushed.stderr).toContain(`canary     40 % of the users on ${live}`);
  await settled(host);
  nobodyWentBack(live);
});

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import { PrivateHost } from '../../demo/private-host.ts';
import type { ConfigOverrides, ConfigValue, ShopBehaviour } from '../../examples/build-release.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { settled, shop } from './shop.ts';

let host: PrivateHost;
let load: Load;
let count = 0;
/** The five checks of the example. */
let example: readonly ConfigValue[];
const PASSWORD = 'correct horse battery';

beforeAll(async () => {
  const text = await readFile(new URL('../../examples/shop/zdd.yaml', import.meta.url), 'utf8');
  example = parse(text).smoke;
  host = await PrivateHost.start();
  expect((await deploy({ smoke: [] })).outcome).toBe('succeeded');
  load = startLoad({ url: host.url, rate: 50, deadlineMs: 120_000 });
  await load.ready(20_000);
});
afterAll(async () => {
  expect((await load.stop()).losses).toEqual([]);
  await host.remove();
});
beforeEach(async () => await settled(host));

async function canaryOf() {
  return (await host.app('shop'))?.deployment?.canary;
}

async function begin(config: ConfigOverrides, behaviour: Partial<ShopBehaviour> = {}) {
  count += 1;
  const { path } = await shop(host, {
    behaviour: { version: `v${count}`, ...behaviour },
    config: { bake: '2s', ...config },
  });
  const { stdout } = await host.cli(['push', path, '--detach', '--json']);
  const { deployment } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  return Number(deployment);
}

async function deploy(config: ConfigOverrides, behaviour: Partial<ShopBehaviour> = {}) {
  return await host.receipt('shop', await begin(config, behaviour));
}

function smokeSteps({ steps }: Awaited<ReturnType<typeof deploy>>): string[] {
  return steps.filter(({ phase }) => phase === 'smoking').map(({ summary }) => summary);
}

/** Log, events and receipts: whatever the agent has told. */
async function told(): Promise<string> {
  return `${await host.log()}${JSON.stringify(await host.events())}`;
}

test('the five of the example, at the candidate and through HAProxy, and no token is told', async () => {
  const receipt = await deploy({ smoke: example });
  expect(receipt).toMatchObject({ outcome: 'succeeded', lost: 0 });
  expect(smokeSteps(receipt)).toEqual(['5 of 5 passed', '5 of 5 passed through HAProxy']);
  expect(await told()).not.toMatch(/demo\.[\w-]{20}/);
});

test('a wrong JSON answer refuses the release before a user sees it', async () => {
  const smoke = [{ path: '/healthz', json: { status: 'ok', version: 'another' } }];
  const receipt = await deploy({ smoke });
  expect(receipt).toMatchObject({
    outcome: 'failed',
    switchMs: null,
    error: { code: 'ZDD_SMOKE_FAILED', message: 'GET /healthz of web.1 failed its smoke check' },
  });
  expect(receipt.error?.evidence.join()).toMatch(
    /200, but version is "v\d+", expected "another": \{"status"/,
  );
});

test('what was saved, and what the host keeps, is in no error', async () => {
  const file = join(host.dir, 'password');
  await writeFile(file, PASSWORD);
  const variable = ['SHOP_PASSWORD', '--app', 'shop', '--no-restart'];
  expect((await host.cli(['env', 'set', ...variable, '--file', file])).code).toBe(0);
  const login = {
    name: 'login',
    method: 'POST',
    path: '/login',
    body: { user: 'demo', password: `\${env.SHOP_PASSWORD}` },
    save: { token: 'token' },
  };
  const path = `/nowhere?token=\${token}`;
  const echoed = await deploy({
    smoke: [login, { name: 'echo', path, status: 404, contains: 'not in the answer' }],
  });
  expect(echoed.error).toMatchObject({ code: 'ZDD_SMOKE_FAILED' });
  expect(echoed.error?.evidence).toContainEqual(['request', `GET ${path}`]);
  const unsaved = await deploy({ smoke: [{ ...login, save: { token: 'tokn' } }] });
  expect(unsaved.error?.evidence).toContainEqual([
    'last answer',
    '200, but there is nothing to save as token (its body is not shown: secrets are saved from it)',
  ]);
  const shown = await deploy({
    smoke: [{ run: 'echo "password $SHOP_PASSWORD" at $ZDD_SMOKE_URL; exit 3' }],
  });
  expect(shown.error?.evidence).toContainEqual([
    'command',
    expect.stringMatching(/^exited with 3\npassword \*\*\* at http:\/\/127\.0\.0\.1:\d+$/),
  ]);
  expect(await told()).not.toContain(PASSWORD);
  expect(await told()).not.toMatch(/demo\.[\w-]{20}/);
  expect((await host.cli(['env', 'unset', ...variable])).code).toBe(0);
});

test('a command asks the candidate, whatever it listens on, and through HAProxy when told so', async () => {
  const script = `
    const { ZDD_SMOKE_URL: url, ZDD_SMOKE_WHEN: when, ZDD_RELEASE: release } = process.env;
    const text = await (await fetch(url + '/')).text();
    if (!text.includes(release)) throw new Error(when + ': ' + text);
  `;
  const run = ['node', '--input-type=module', '-e', script];
  for (const listen of ['socket', 'port']) {
    const receipt = await deploy({
      smoke: [{ name: 'script', run, when: 'both' }],
      processes: { web: { listen } },
    });
    expect(receipt.error).toBeNull();
    expect(smokeSteps(receipt)).toEqual(['1 of 1 passed', '1 of 1 passed through HAProxy']);
  }
});

test('a command that takes too long is ended and refuses the release', async () => {
  const receipt = await deploy({ smoke: [{ run: 'sleep 600', within: '300ms' }] });
  expect(receipt.error).toMatchObject({
    code: 'ZDD_SMOKE_FAILED',
    evidence: [['command', 'ran longer than 0.3s']],
  });
});

test('what only HAProxy shows takes the traffic back', async () => {
  const header = { path: '/', headers: { host: 'nobody.invalid' }, when: 'after' };
  const receipt = await deploy({
    routes: ['*'],
    bake: '60s',
    smoke: [{ ...header, contains: 'never said' }],
  });
  expect(receipt).toMatchObject({ outcome: 'rolled_back', error: { code: 'ZDD_SMOKE_FAILED' } });
  expect(receipt.error?.message).toBe('GET / of HAProxy failed its smoke check');
});

test('in a canary the checks reach the candidate through HAProxy, however small its share', async () => {
  const json = { status: 'ok', release: '$ZDD_RELEASE' };
  const health = { path: '/healthz', json, when: 'after' };
  const script = `
    const { ZDD_SMOKE_URL: url, ZDD_SMOKE_COOKIE: cookie, ZDD_RELEASE: release } = process.env;
    const text = await (await fetch(url + '/', { headers: { cookie } })).text();
    if (!text.includes(release)) throw new Error(cookie + ': ' + text);
  `;
  const smoke = [
    { path: '/', contains: 'shop', when: 'before' },
    ...Array.from({ length: 10 }, () => health),
    { ...health, headers: { cookie: 'theme=dark' } },
    { name: 'script', run: ['node', '--input-type=module', '-e', script], when: 'after' },
  ];
  // In the end HAProxy gives all users to it, so the cookie of a canary is not needed any more.
  const [, ...through] = smoke;
  const id = await begin({ smoke, strategy: [{ weight: '0.01%' }, 'smoke', { gate: 'manual' }] });
  await host.until('the checks', 20_000, async () => (await canaryOf())?.step === 3);
  const said = (await host.events()).flatMap((event) =>
    event.type === 'step_done' && event.deployment === id && event.step.phase === 'canary'
      ? [event.step.summary]
      : [],
  );
  expect(said).toContain(
    `smoke: 1 of 1 passed, ${through.length} of ${through.length} passed through HAProxy`,
  );
  expect((await host.cli(['abort', '--app', 'shop'])).code).toBe(0);
});

test('before a canary has users it is reached as the team reaches it, or not at all', async () => {
  const smoke = [{ path: '/healthz', json: { release: '$ZDD_RELEASE' }, when: 'after' }];
  const strategy = ['smoke', { gate: 'manual' }];
  for (const [preview, said] of [
    [{ header: 'X-Preview: let-me-see' }, 'smoke: 1 of 1 passed through HAProxy'],
    [{ cookie: 'preview' }, 'smoke: 1 of 1 passed through HAProxy'],
    [
      { ips: ['192.0.2.1'] },
      'smoke: not asked through HAProxy: it has no users yet, and preview names no header or cookie',
    ],
  ] as const) {
    const id = await begin({ smoke, strategy, preview });
    await host.until('the checks', 20_000, async () => (await canaryOf())?.step === 2);
    const steps = (await host.events()).flatMap((event) =>
      event.type === 'step_done' && event.deployment === id ? [event.step.summary] : [],
    );
    expect(steps).toContain(said);
    expect((await host.cli(['abort', '--app', 'shop'])).code).toBe(0);
    await settled(host);
  }
});

test('what only HAProxy shows takes a canary back before its share grows', async () => {
  const header = { path: '/', headers: { host: 'nobody.invalid' }, when: 'after' };
  const id = await begin({
    strategy: [{ weight: '1%' }, 'smoke', { weight: '50%' }, { gate: 'manual' }],
    smoke: [{ ...header, contains: 'never said' }],
  });
  const receipt = await host.receipt('shop', id);
  expect(receipt).toMatchObject({ outcome: 'rolled_back', error: { code: 'ZDD_SMOKE_FAILED' } });
  expect(receipt.error?.message).toBe('GET / of HAProxy failed its smoke check');
  expect(receipt.steps.filter(({ summary }) => summary.startsWith('50 %'))).toEqual([]);
});

test('a page that is too slow once is asked again; one that always is is refused', async () => {
  const smoke = [{ path: '/', within: '150ms', when: 'before' }];
  const receipt = await deploy({ smoke }, { delayMs: 400 });
  expect(receipt.error?.evidence).toEqual([['last answer', 'no answer within 150 ms, 3 times']]);
});

test('where nobody but some may ask, the second round is left out, and that is said', async () => {
  const receipt = await deploy({
    access: { allow: ['127.0.0.0/8'] },
    smoke: [{ path: '/' }],
  });
  expect(smokeSteps(receipt)).toEqual([
    '1 of 1 passed',
    'not asked through HAProxy: access.allow shuts the agent out',
  ]);
});

test('a deployment that was cut while a smoke command ran is finished', async () => {
  const marker = join(host.dir, 'smoke-began');
  const { path } = await shop(host, {
    behaviour: { version: 'cut' },
    config: { smoke: [{ run: `[ -e ${marker} ] || { touch ${marker}; sleep 600; }` }] },
  });
  const { stdout } = await host.cli(['push', path, '--detach', '--json']);
  const { deployment } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  await host.until('the smoke command to run', 20_000, async () =>
    readFile(marker).then(
      () => true,
      () => false,
    ),
  );
  await host.stopDaemon('SIGKILL');
  await host.startDaemon();
  expect((await host.receipt('shop', Number(deployment))).outcome).toBe('succeeded');
});

test('a rollback asks nothing: what it brings back has served', async () => {
  expect(
    (await deploy({ smoke: [{ path: '/' }], warm: '60s', gates: { p99: '30s' } })).outcome,
  ).toBe('succeeded');
  expect(
    (await deploy({ smoke: [{ path: '/' }], warm: '60s', gates: { p99: '30s' } })).outcome,
  ).toBe('succeeded');
  const { code, stdout } = await host.cli(['rollback', '--app', 'shop', '--json']);
  expect(code).toBe(0);
  expect(stdout).toContain('"phase":"smoking"');
  expect(stdout).not.toContain(' passed');
});

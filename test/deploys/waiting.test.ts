import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { verdictReport } from '../../agent/protocol/verdict.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import type { ConfigOverrides, ShopBehaviour } from '../../examples/build-release.ts';
import { startLoad } from '../../load/load.ts';
import { Hook } from './hook.ts';
import { push, settled, shop } from './shop.ts';

const message = z.object({
  event: z.literal('deployment_paused'),
  id: z.string(),
  summary: z.string(),
  text: z.string(),
  verdict: verdictReport.nullable(),
  pause: z.object({
    phase: z.string(),
    reason: z.string(),
    percent: z.number(),
    verdicts: z.array(verdictReport),
  }),
});

let host: PrivateHost;
let hook: Hook;
let stable: string;

beforeEach(async () => {
  host = await PrivateHost.start();
  hook = await Hook.open();
  const file = join(host.dir, 'value');
  for (const name of ['hook', 'slack']) {
    await writeFile(file, `http://127.0.0.1:${hook.port}/${name}`);
    const variable = `${name.toUpperCase()}_URL`;
    const options = ['--app', 'shop', '--no-restart', '--file', file];
    expect((await host.cli(['env', 'set', variable, ...options])).code).toBe(0);
  }
});
afterEach(async () => {
  hook.close();
  await host.remove();
});

const NOTIFY = { notify: [{ webhook: 'HOOK_URL', on: ['paused'] }, { slack: 'SLACK_URL' }] };

async function serve(behaviour: Partial<ShopBehaviour> = {}, config: ConfigOverrides = {}) {
  const release = { behaviour: { version: 'v1', ...behaviour }, config };
  const { code, stderr } = await push(host, release);
  expect(code, stderr).toBe(0);
  stable = (await host.app('shop'))?.live ?? '';
}

async function begin(config: ConfigOverrides, behaviour: Partial<ShopBehaviour> = {}) {
  const { path } = await shop(host, {
    behaviour: { version: 'v2', ...behaviour },
    config: { ...NOTIFY, ...config },
  });
  const { stdout } = await host.cli(['push', path, '--detach', '--json']);
  return Number(JSON.parse(stdout.trim().split('\n').at(-1) ?? '').deployment);
}

function told() {
  return hook.to('/hook').map(({ body }) => message.parse(JSON.parse(body)));
}

function slack(): string[] {
  const text = z.object({ text: z.string() });
  return hook.to('/slack').map(({ body }) => text.parse(JSON.parse(body)).text);
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  await host.until(what, 30_000, async () => holds());
}

/** The agent knows that both have arrived: what it does not know of, it tells again after a kill. */
async function bothDelivered(id: number): Promise<void> {
  await until('both to be delivered', async () => {
    const sent = (await host.events()).filter(
      (event) => event.type === 'notified' && event.deployment === id && event.result === 'sent',
    );
    return sent.length >= 2;
  });
}

/** All that was to be told has been told: what ended after it is told last. */
async function abortAndHear(id: number): Promise<void> {
  expect((await host.cli(['abort', '--app', 'shop'])).code).toBe(0);
  await until('the end to be told', () =>
    slack().some((text) => text.includes(`#${id} `) && text.includes('was aborted')),
  );
}

test('an approval that is awaited is told once, with what to type, also over a kill', async () => {
  await serve();
  const id = await begin({ strategy: [{ weight: '5%' }, { gate: 'manual' }, { hold: '1h' }] });
  await until('both to be told', () => told().length > 0 && slack().length > 0);
  const release = (await host.app('shop'))?.deployment?.release ?? '';
  const [first] = told();
  expect(first).toMatchObject({
    id: `shop#${id}`,
    verdict: null,
    pause: { phase: 'canary', percent: 5, reason: 'gate: manual; zdd-agent promote goes on' },
  });
  expect(first?.text.split('\n')).toEqual([
    'gate: manual; zdd-agent promote goes on',
    `traffic: 5 % on ${release}, 95 % on ${stable}`,
    'go on: zdd-agent promote --app shop',
    'take it back: zdd-agent abort --app shop',
  ]);
  expect(slack()[0]).toMatch(
    /^:raised_hand: \*shop #\d+ r2-\w+ is paused and waits for you on .+, deploy by .+\*\n> gate: manual/,
  );
  await bothDelivered(id);
  await host.stopDaemon('SIGKILL');
  await host.startDaemon();
  // A person's own pause is known to whoever made it.
  expect((await host.cli(['promote', '--detach', '--app', 'shop'])).code).toBe(0);
  expect((await host.cli(['pause', '--app', 'shop'])).code).toBe(0);
  await abortAndHear(id);
  expect(told()).toHaveLength(1);
  expect(slack()).toHaveLength(2);
});

test('what a gate has paused for says metric, value, limit, n and window', async () => {
  await serve();
  const metrics = [{ name: 'queue', run: 'echo 50', max: 10, every: '300ms' }];
  const id = await begin({
    strategy: [{ weight: '5%' }, { hold: '1h' }],
    triggers: { metrics },
    gates: { on: { fail: 'pause' } },
  });
  await until('both to be told', () => told().length > 0 && slack().length > 0);
  const [first] = told();
  expect(first?.verdict).toMatchObject({
    gate: 'metric',
    outcome: 'fail',
    value: 50,
    threshold: 10,
  });
  expect(first?.pause.reason).toBe(first?.verdict?.says);
  expect(slack()[0]).toMatch(
    /\n> metric: fail: queue 50\.00 \(limit 10\.00, n = 2, \d+ s\); 2 of 2 bad looks in a row\n> seen from [-\d]+T[:.\d]+Z to /,
  );
  expect((await host.app('shop'))?.deployment?.canary?.paused).toContain('fail: queue 50.00');
  await abortAndHear(id);
});

test('an address that was away until nobody waits any more is not told of it', async () => {
  await serve();
  hook.status = 503;
  const id = await begin({ strategy: [{ weight: '5%' }, { gate: 'manual' }] });
  await until('the first try', () => told().length > 0);
  hook.status = 200;
  await abortAndHear(id);
  await until(
    'nothing to be waiting',
    async () => !(await host.cli(['status', '--json'])).stdout.includes('cannot be delivered'),
  );
  expect(told()).toHaveLength(1);
});

test('a bake that is held, since stable fails as well, is told once, also over a restart', async () => {
  const bad = { failAfterRequests: 0, share: 0.3 };
  const quiet = { smoke: [], gates: { error_rate: 1, p99: '60s' } };
  await serve(bad, quiet);
  const load = startLoad({ url: host.url, rate: 200, mix: { slow: 0 }, deadlineMs: 120_000 });
  try {
    await load.ready(20_000);
    await until('stable to have failed', () => load.snapshot().appErrors > 100);
    const id = await begin({ bake: '10m', smoke: [], gates: { error_for: '1s' } }, bad);
    await until('both to be told', () => told().length > 0 && slack().length > 0);
    const [first] = told();
    expect(first?.pause).toMatchObject({ phase: 'baking', percent: 100 });
    expect(first?.verdict).toMatchObject({ outcome: 'inconclusive', action: 'pause', held: true });
    expect(first?.summary).toContain('is held and needs a look');
    expect(first?.text).toContain('it is not the release');
    expect(first?.text).toContain('take it back: zdd-agent rollback --app shop');
    const held = first?.verdict?.gate ?? '';
    await bothDelivered(id);
    await host.stopDaemon('SIGKILL');
    await host.startDaemon();
    const judged = async () =>
      (await host.events()).filter(
        (event) =>
          event.type === 'judged' && event.verdicts.some((each) => each.gate === held && each.held),
      );
    await until('it to be held anew', async () => (await judged()).length > 1);
    await abortAndHear(id);
    expect(told().filter(({ verdict }) => verdict?.gate === held)).toHaveLength(1);
    await settled(host);
  } finally {
    await load.stop();
  }
});

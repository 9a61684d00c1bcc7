import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import type { ConfigOverrides } from '../../examples/build-release.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { ledgerOf, push, settled, shop } from './shop.ts';

/** What systemd, a reboot and an upgrade are promised, ms. */
const STOP_MS = 5_000;

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

/** SIGTERM: the daemon ends in order, and in time. */
async function stop(): Promise<void> {
  const timely = new AbortController();
  const code = await Promise.race([
    host.stopDaemon('SIGTERM'),
    sleep(STOP_MS, 'too late' as const, { signal: timely.signal }),
  ]);
  timely.abort();
  expect(code).toBe(0);
}

/** Thousands of files that do not compress: they take long to unpack and to hash. */
function manyFiles(): Record<string, string> {
  const text = randomBytes(6_000).toString('base64');
  return Object.fromEntries(
    Array.from({ length: 6_000 }, (_, index) => [`big/${index % 50}/${index}.txt`, text + index]),
  );
}

interface Long {
  readonly phase: string;
  readonly config: ConfigOverrides;
  readonly slowStartMs?: number;
  readonly files?: Record<string, string>;
  readonly ends: 'succeeded' | 'failed';
  /** What would hold the next daemon up as well is told to end. */
  readonly afterwards?: readonly string[];
}

const long: readonly Long[] = [
  { phase: 'unpacking', config: {}, files: manyFiles(), ends: 'succeeded' },
  { phase: 'releasing', config: { release: 'sleep 60' }, ends: 'failed' },
  { phase: 'probing', config: {}, slowStartMs: 6_000, ends: 'succeeded' },
  { phase: 'baking', config: { bake: '60s' }, ends: 'succeeded', afterwards: ['promote'] },
];

for (const { phase, config, files, slowStartMs, ends, afterwards } of long) {
  test(`SIGTERM while ${phase}, which takes long: gone in time, and the next start goes on`, async () => {
    const { path } = await shop(host, {
      behaviour: { version: `stopped-${phase}`, slowStartMs: slowStartMs ?? 0 },
      config,
      ...(files === undefined ? {} : { files }),
    });
    const since = (await host.events()).at(-1)?.seq ?? 0;
    const pushed = await host.cli(['push', path, '--detach', '--json']);
    expect(pushed.stderr).not.toContain('ZDD_');
    await host.until(`the phase ${phase}`, 20_000, async () =>
      (await host.events(since)).some((told) =>
        phase === 'unpacking'
          ? told.type === 'deployment_started'
          : told.type === 'phase_changed' && told.to === phase,
      ),
    );
    await stop();
    await host.startDaemon();
    if (afterwards !== undefined) {
      const told = await host.cli([...afterwards, '--app', 'shop', '--json']);
      expect(told.stderr).not.toContain('ZDD_');
    }
    const ended = await host.until('the deployment to end', 40_000, async () =>
      (await host.events(since)).find((told) => told.type === 'deployment_ended'),
    );
    if (ended.type !== 'deployment_ended') throw new Error('not an end');
    expect(ended.receipt.outcome).toBe(ends);
    await settled(host);
    expect(load.snapshot().lost).toBe(0);
  });
}

for (const phase of ['starting', 'admitting', 'switching', 'promoting']) {
  test(`SIGTERM while ${phase}: the step is finished or repeated, and nothing is lost`, async () => {
    const { path } = await shop(host, { behaviour: { version: `stopped-${phase}` } });
    const since = (await host.events()).at(-1)?.seq ?? 0;
    await host.cli(['push', path, '--detach', '--json']);
    await host.until(`the phase ${phase}`, 20_000, async () =>
      (await host.events(since)).some((told) => told.type === 'phase_changed' && told.to === phase),
    );
    await stop();
    await host.startDaemon();
    const ended = await host.until('the deployment to end', 30_000, async () =>
      (await host.events(since)).find((told) => told.type === 'deployment_ended'),
    );
    if (ended.type !== 'deployment_ended') throw new Error('not an end');
    expect(ended.receipt).toMatchObject({ error: null, outcome: 'succeeded' });
    await settled(host);
    expect(load.snapshot().lost).toBe(0);
  });
}

test('SIGTERM while an old release does not end at once: its stop goes on later', async () => {
  const stubborn = {
    behaviour: { version: 'ends-late' },
    files: {
      'late.js':
        'process.on("SIGTERM", () => setTimeout(process.exit, 6500)); setInterval(() => {}, 1000);',
    },
    config: {
      processes: { late: { run: 'node late.js', alive: '100ms', stop: { grace: '20s' } } },
    },
  };
  expect((await push(host, stubborn)).code).toBe(0);
  const since = (await host.events()).at(-1)?.seq ?? 0;
  expect((await push(host, { behaviour: { version: 'after-it' } })).code).toBe(0);
  await host.until('the old one to be told to end', 20_000, async () =>
    (await host.app('shop'))?.generations.some(({ role }) => role === 'stopping'),
  );
  await stop();
  await host.startDaemon();
  await settled(host);
  expect((await host.events(since)).some(({ type }) => type === 'release_stopped')).toBe(true);
  expect(load.snapshot().lost).toBe(0);
});

test('SIGTERM during an upload: the sender is told why, and nothing of it stays', async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const upload = request({
    socketPath: host.socket,
    path: '/v1/artifacts',
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream', 'content-length': 10_000_000 },
  });
  upload.on('error', () => resolve(''));
  upload.on('response', (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    response.on('end', () => resolve(text));
    response.on('error', () => resolve(text));
  });
  upload.write(randomBytes(100_000));
  await host.until('the upload to be under way', 10_000, async () =>
    (await readdir(`${host.stateDir}/artifacts`)).some((name) => name.endsWith('.tmp')),
  );
  await stop();
  expect(await promise).toContain('ZDD_AGENT_BUSY');
  upload.destroy();
  await host.startDaemon();
});

test('whoever follows a deployment sees it through a stop and a start', async () => {
  const { path } = await shop(host, {
    behaviour: { version: 'followed', slowStartMs: 3_000 },
  });
  const since = (await host.events()).at(-1)?.seq ?? 0;
  const watched = host.cli(['push', path]);
  await host.until('it to probe', 20_000, async () =>
    (await host.events(since)).some(
      (told) => told.type === 'phase_changed' && told.to === 'probing',
    ),
  );
  await stop();
  await host.startDaemon();
  const { code, stdout, stderr } = await watched;
  expect(`${code} ${stderr}`).toMatch(/^0 /);
  expect(stdout + stderr).toContain('the agent is back');
  await settled(host);
  const report = await load.stop();
  expect(report.losses).toEqual([]);
  expect(report.ledger?.duplicates).toEqual([]);
});

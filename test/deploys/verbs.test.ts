import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { hadItsTime, type Move, movesOf } from './moves.ts';
import { BY_RELOAD, ledgerOf, push, settled } from './shop.ts';

/** WebSockets may stay this long on instances that were replaced, ms: as `QUICK` says. */
const STAY_MS = 2_000;

let host: PrivateHost;
beforeAll(async () => {
  host = await PrivateHost.start();
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
});
afterAll(async () => {
  await host.remove();
});

/** Runs a verb about the shop and expects it to end well. */
async function run(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await host.cli([...args, '--app', 'shop']);
  expect(code, stdout + stderr).toBe(0);
  return stdout + stderr;
}

async function refused(...args: string[]): Promise<{ code: number; said: string }> {
  const { code, stdout, stderr } = await host.cli([...args, '--app', 'shop']);
  return { code, said: stdout + stderr };
}

/** Running instances by process type. */
async function counts(): Promise<Record<string, number>> {
  const stable = (await host.app('shop'))?.generations.find(({ role }) => role === 'stable');
  const running = (stable?.instances ?? []).filter(({ state }) => state === 'running');
  const counted: Record<string, number> = {};
  for (const { process } of running) counted[process] = (counted[process] ?? 0) + 1;
  return counted;
}

async function pids(): Promise<Set<number>> {
  const { generations = [] } = (await host.app('shop')) ?? {};
  return new Set(
    generations.flatMap(({ instances }) =>
      instances.flatMap(({ pid }) => (pid === null ? [] : [pid])),
    ),
  );
}

interface Seen {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: string;
}

/** One request as a user sends it. */
async function ask(path = '/'): Promise<Seen> {
  return await new Promise((resolve, reject) => {
    request(`${host.url}${path}`, { agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          retryAfter: response.headers['retry-after'],
          body,
        }),
      );
    })
      .on('error', reject)
      .end();
  });
}

/** An upload that an instance has taken up, and that goes on until it is told to end. */
async function holdRequest(): Promise<{ end(): void; readonly answer: Promise<number> }> {
  const sending = request(`${host.url}/upload`, {
    method: 'POST',
    agent: false,
    headers: { expect: '100-continue', 'transfer-encoding': 'chunked' },
  });
  const answer = new Promise<number>((resolve, reject) => {
    sending.once('error', reject);
    sending.once('response', (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0));
      response.once('error', reject);
    });
  });
  const taken = new Promise((resolve) => sending.once('continue', resolve));
  sending.flushHeaders();
  // Answered instead: then `answer` says with what.
  await Promise.race([taken, answer]);
  sending.write('begun');
  return { end: () => sending.end(), answer };
}

async function untilDraining(): Promise<void> {
  await host.until('it to drain', 20_000, async () => {
    return (await host.app('shop'))?.deployment?.phase === 'draining';
  });
}

async function lastReceipt() {
  const ended = (await host.events()).findLast((told) => told.type === 'deployment_ended');
  if (ended?.type !== 'deployment_ended') throw new Error('no deployment has ended');
  return ended.receipt;
}

describe('under load', () => {
  let load: Load;
  let moves: readonly Move[] = [];
  beforeAll(async () => {
    load = startLoad({
      url: host.url,
      rate: 150,
      websockets: 10,
      ledger: ledgerOf(host),
      // Due once its instances have been replaced for as long as zdd.yaml lets it stay.
      closedByDrain: (close) => hadItsTime(close, moves, STAY_MS),
    });
    await load.ready(20_000);
  });
  afterAll(async () => {
    await load.stop();
  });

  test('restart: every instance is another one, the release and its age stay', async () => {
    const before = await host.app('shop');
    const old = await pids();
    const said = await run('restart');
    expect(said).toContain('restart');
    await settled(host);
    const after = await host.app('shop');
    expect(after?.live).toBe(before?.live);
    expect(after?.since).toBe(before?.since);
    for (const pid of await pids()) expect(old).not.toContain(pid);
    expect(await lastReceipt()).toMatchObject({ kind: 'restart', outcome: 'succeeded', lost: 0 });
    expect(load.snapshot().lost).toBe(0);
  });

  test('scale up and down, and back to zdd.yaml', async () => {
    expect(await run('scale', 'web=4', 'worker=0')).toContain('web ×4');
    await settled(host);
    expect(await counts()).toEqual({ web: 4 });
    expect(await run('status')).toContain('shop web=4, zdd.yaml says 2');
    await run('scale', 'web=1');
    await settled(host);
    expect(await counts()).toEqual({ web: 1 });
    await run('scale', 'web=default', 'worker=default');
    await settled(host);
    expect(await counts()).toEqual({ web: 2, worker: 1 });
    expect((await host.app('shop'))?.scaled).toEqual([]);
    expect(load.snapshot().lost).toBe(0);
  });

  test('numbers hold across a deploy, a restart, a rollback and a new daemon', async () => {
    await run('scale', 'web=3');
    const pushed = await push(host, { behaviour: { version: 'v2' } });
    expect(pushed.code).toBe(0);
    expect((await lastReceipt()).steps.find(({ phase }) => phase === 'starting')?.summary).toBe(
      'web ×3, worker ×1 (after the old one), zdd.yaml says web ×2',
    );
    await settled(host);
    expect(await counts()).toEqual({ web: 3, worker: 1 });
    await run('restart');
    await settled(host);
    await host.stopDaemon('SIGKILL');
    await host.startDaemon();
    await run('rollback');
    // The generation before is of the same release: no way back, the release before is.
    expect((await host.app('shop'))?.live).toMatch(/^r1-/);
    await settled(host);
    expect(await counts()).toEqual({ web: 3, worker: 1 });
    expect(load.snapshot().lost).toBe(0);
  });

  test('a number that is refused changes nothing', async () => {
    await settled(host);
    const before = await pids();
    for (const [words, why] of [
      [['web=0'], 'zdd-agent stop'],
      [['web=65'], 'expected 1 to 64'],
      [['mailer=1'], 'there is no such process type'],
      [['web=2', 'mailer=1'], 'web, worker'],
    ] as const) {
      const { code, said } = await refused('scale', ...words);
      expect(said).toContain('ZDD_SCALE_INVALID');
      expect(said).toContain(why);
      expect(code).toBe(2);
    }
    expect(await run('scale', 'web=3')).toContain('run already');
    expect(await pids()).toEqual(before);
    expect(await counts()).toEqual({ web: 3, worker: 1 });
  });

  test('a restart whose instances do not come up leaves the old ones serving', async () => {
    await settled(host);
    const before = await pids();
    const { code, said } = await refused('restart', '--probe-timeout', '1ms');
    expect(said).toContain('ZDD_PROBE_TIMEOUT');
    expect(said).toContain('untouched');
    expect(said).toContain('zdd-agent restart --probe-timeout');
    expect(code).toBe(20);
    await settled(host);
    expect(await pids()).toEqual(before);
  });

  test('nobody else deploys meanwhile', async () => {
    await run('restart', '--bake', '60s', '--detach');
    for (const verb of [['restart'], ['stop'], ['start'], ['scale', 'web=2']]) {
      const { code, said } = await refused(...verb);
      expect(said).toMatch(/is being restarted by .*ZDD_LOCKED/s);
      expect(code).toBe(12);
    }
    await host.until('it to bake', 20_000, async () => {
      return (await host.app('shop'))?.deployment?.phase === 'baking';
    });
    await run('abort');
    await settled(host);
  });

  test('not one request was lost by any of it', async () => {
    moves = movesOf(await host.events());
    const report = await load.stop();
    expect(report.losses).toEqual([]);
    expect(report.requests).toBeGreaterThan(500);
    expect(report.websockets.cuts).toEqual([]);
    expect(report.websockets.gaps).toBe(0);
    expect(report.ledger?.duplicates).toEqual([]);
    expect(report.ledger?.workerOverlaps).toBe(0);
  });
});

/** What the agent and HAProxy hold of the app when it is stopped. */
async function expectStopped(): Promise<void> {
  expect(await host.app('shop')).toMatchObject({
    live: null,
    deployment: null,
    stopped: { release: expect.stringMatching(/^r\d+-/) },
    generations: [],
  });
  const seen = await ask();
  expect(seen.status).toBe(503);
  expect(seen.retryAfter).toBe('5');
  expect(seen.body).toContain('Please try again');
}

describe('stop and start', () => {
  test('several types at once; a scale that is so already starts nothing', async () => {
    await run('scale', 'web=2', 'worker=2');
    await settled(host);
    expect(await counts()).toEqual({ web: 2, worker: 2 });
    await run('scale', 'worker=1');
    await settled(host);
  });

  test('stop: what has begun ends well, then nothing runs, and 503 says when to come again', async () => {
    const load = startLoad({ url: host.url, rate: 150, websockets: 20, wsIntervalMs: 100 });
    await load.ready(20_000);
    const held = await holdRequest();
    const old = await pids();
    const stopping = run('stop');
    await untilDraining();
    held.end();
    expect(await stopping).toMatch(/stopped: shop {2}r\d+-/);
    expect(await held.answer).toBe(200);
    const moved = movesOf(await host.events()).at(-1) ?? { from: 0, until: 0 };
    const report = await load.stop();
    const early = report.losses.filter(({ end, outcome }) => {
      // What HAProxy answers once it is told is refused in a friendly way, and nothing else.
      return outcome !== 'proxy503' || end < moved.from;
    });
    expect(early.filter(({ kind }) => kind !== 'websocket')).toEqual([]);
    // Closed by HAProxy at the pace: none before new requests ended, all before the instances did.
    expect(load.websocketCloses.length).toBeGreaterThanOrEqual(20);
    for (const { closedAt } of load.websocketCloses)
      expect(closedAt).toBeGreaterThanOrEqual(moved.until);
    expect(await lastReceipt()).toMatchObject({ kind: 'stop', outcome: 'succeeded', lost: 0 });
    for (const pid of old) {
      // Empty for one that has ended and that nobody has waited for.
      expect(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).toBe('');
    }
    await expectStopped();
    expect(await run('status')).toContain('stopped');
  });

  test('stopped is stopped: said twice, restarted, scaled, and with a new daemon', async () => {
    expect(await run('stop')).toContain('stopped already');
    expect(await refused('restart')).toMatchObject({
      code: 2,
      said: expect.stringMatching(/ZDD_STOPPED.*zdd-agent start/s),
    });
    await host.stopDaemon('SIGKILL');
    await host.startDaemon();
    await expectStopped();
    expect(await run('scale', 'web=1')).toContain('will start with these numbers');
    expect((await host.cli(['doctor'])).code).toBe(0);
    expect(await run('status')).not.toContain('attention');
    await expectStopped();
    expect(await run('releases', 'shop')).toContain('stopped');
  });

  test('a start that fails leaves it stopped', async () => {
    const { code, said } = await refused('start', '--probe-timeout', '1ms');
    expect(code).toBe(20);
    expect(said).toContain('stays stopped');
    await host.until('its instances to be gone', 20_000, async () => {
      return (await host.app('shop'))?.generations.length === 0;
    });
    await expectStopped();
  });

  test('start: the same release, through its probes, without a reload', async () => {
    const before = (await host.app('shop'))?.stopped?.release;
    const said = await run('start');
    expect(said).toContain('web.1 200');
    expect((await host.app('shop'))?.live).toBe(before);
    expect(await ask()).toMatchObject({ status: 200 });
    expect(await counts()).toEqual({ web: 1, worker: 1 });
    expect(await run('start')).toContain('serves already');
    const moves = (await host.events()).filter((told) => told.type === 'traffic_moved').slice(-2);
    expect(moves).toMatchObject([{ reloaded: BY_RELOAD }, { reloaded: BY_RELOAD }]);
  });

  test('a stop is called off while something still runs: traffic comes back to the same instances', async () => {
    const old = await pids();
    const held = await holdRequest();
    await run('stop', '--detach');
    await untilDraining();
    expect((await ask()).status).toBe(503);
    expect(await run('stop', '--detach')).toContain('already stopping');
    await run('abort');
    expect(await ask()).toMatchObject({ status: 200 });
    expect(await pids()).toEqual(old);
    held.end();
    expect(await held.answer).toBe(200);
    await run('scale', 'web=default');
    await settled(host);
  });

  test('a push while stopped starts the app with the new release', async () => {
    await run('stop');
    const failed = await push(host, { behaviour: { version: 'sick', health: 'never' } }, [
      '--probe-timeout',
      '1s',
    ]);
    expect(failed.code).toBe(20);
    expect(failed.stdout + failed.stderr).toContain('stays stopped');
    await host.until('its instances to be gone', 20_000, async () => {
      return (await host.app('shop'))?.generations.length === 0;
    });
    await expectStopped();
    expect((await push(host, { behaviour: { version: 'fresh' } })).code).toBe(0);
    expect(await host.app('shop')).toMatchObject({ stopped: null });
    expect(await ask()).toMatchObject({ status: 200 });
  });

  test('a rollback while stopped starts the release before the one that was stopped', async () => {
    const live = (await host.app('shop'))?.live;
    await run('stop');
    await run('rollback');
    const app = await host.app('shop');
    expect(app?.stopped).toBeNull();
    expect(app?.live).not.toBe(live);
    expect(await ask()).toMatchObject({ status: 200 });
  });

  test('a rollback after a scale is of the present size, warm or not', async () => {
    const previous = (await host.app('shop'))?.live;
    const next = { behaviour: { version: 'next' }, config: { warm: '60s' } };
    expect((await push(host, next)).code).toBe(0);
    await run('scale', 'web=3');
    await run('rollback');
    expect((await host.app('shop'))?.live).toBe(previous);
    expect(await counts()).toEqual({ web: 3, worker: 1 });
  });
});

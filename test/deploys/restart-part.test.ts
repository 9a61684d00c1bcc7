import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { killedWhile } from './killed-while.ts';
import { ledgerOf, push, settled } from './shop.ts';

/** Writes down when it starts and ends; told so by a variable of the host, it does not live. */
const MAILER = `
import { appendFileSync } from 'node:fs';
if (process.env.MAIL === 'broken') process.exit(3);
const say = (what) =>
  appendFileSync(process.env.MAIL_LOG, [what, process.env.ZDD_SLOT, process.pid].join(' ') + '\\n');
say('start');
setInterval(() => {}, 1000);
process.on('SIGTERM', () => {
  say('stop');
  process.exit(0);
});
`;

let host: PrivateHost;
let load: Load;
beforeAll(async () => {
  host = await PrivateHost.start();
  expect((await pushed('v1')).code).toBe(0);
  load = startLoad({ url: host.url, rate: 150, ledger: ledgerOf(host) });
  await load.ready(20_000);
});
afterAll(async () => {
  await load.stop();
  await host.remove();
});

async function pushed(version: string) {
  const mail = { run: 'node mailer.mjs', alive: '400ms', env: { MAIL_LOG: mailLog() } };
  return await push(host, {
    behaviour: { version },
    files: { 'mailer.mjs': MAILER },
    config: {
      processes: { mailer: { ...mail, instances: 2 }, clerk: { ...mail, overlap: false } },
    },
  });
}

function mailLog(): string {
  return join(host.dir, 'mail.log');
}

/** What mailers and clerks have written since the line `from`: `start mailer-1`. */
async function mailed(from: number): Promise<string[]> {
  const lines = (await readFile(mailLog(), 'utf8')).trim().split('\n').slice(from);
  return lines.map((line) => line.replace(/ .*-(\w+-\d+) \d+$/, ' $1'));
}

async function pids(): Promise<Record<string, readonly number[]>> {
  const { generations = [] } = (await host.app('shop')) ?? {};
  const running = generations.filter(({ role }) => role === 'stable');
  const all = running.flatMap(({ instances }) => instances);
  expect(all.filter(({ state }) => state !== 'running')).toEqual([]);
  const byProcess = Map.groupBy(all, ({ process }) => process);
  return Object.fromEntries(
    [...byProcess].map(([process, own]) => [process, own.map(({ pid }) => pid ?? 0)]),
  );
}

async function restart(...args: readonly string[]) {
  const since = (await host.events()).at(-1)?.seq ?? 0;
  const { code, stdout, stderr } = await host.cli(['restart', ...args, '--app', 'shop']);
  const moved = (await host.events(since)).some(({ type }) => type === 'traffic_moved');
  return { code, said: stdout + stderr, moved };
}

test('workers alone: traffic and everything else stay as they are', async () => {
  const before = await pids();
  const { code, said, moved } = await restart('worker');
  expect(said).toMatch(/renew +worker ×1 anew/);
  expect(code).toBe(0);
  expect(moved).toBe(false);
  const { worker, ...others } = await pids();
  const { worker: old, ...asBefore } = before;
  expect(others).toEqual(asBefore);
  expect(worker).toHaveLength(1);
  expect(worker).not.toEqual(old);
});

test('what may overlap is alive before its predecessor is told to end; what must not waits', async () => {
  const from = (await mailed(0)).length;
  expect((await restart('mailer', 'clerk')).code).toBe(0);
  const said = await mailed(from);
  expect(said.slice(0, 2).toSorted()).toEqual(['start mailer-1', 'start mailer-2']);
  expect(said.slice(2, 5).toSorted()).toEqual(['stop clerk-1', 'stop mailer-1', 'stop mailer-2']);
  expect(said.slice(5)).toEqual(['start clerk-1']);
});

test('web alone: workers run on, in the generation that takes over', async () => {
  const { web: old, ...workers } = await pids();
  const { code, said } = await restart('web');
  expect(said).toContain('left as they run');
  expect(code).toBe(0);
  await settled(host);
  const { web, ...others } = await pids();
  expect(others).toEqual(workers);
  expect(web).toHaveLength(2);
  expect(web?.some((pid) => old?.includes(pid))).toBe(false);
});

for (const process of ['mailer', 'clerk']) {
  test(`a ${process} that does not live: the old one works again, traffic untouched`, async () => {
    const file = join(host.dir, 'mail.env');
    await writeFile(file, 'MAIL=broken\n');
    const kept = await host.cli(['env', 'import', file, '--app', 'shop', '--no-restart']);
    expect(kept.code).toBe(0);
    const before = await pids();
    const { code, said, moved } = await restart(process);
    expect(said).toContain('ZDD_INSTANCE_CRASHED');
    expect(said).toMatch(/untouched: 100 % on r1/);
    expect(code).toBe(20);
    expect(moved).toBe(false);
    const after = await pids();
    expect(after['web']).toEqual(before['web']);
    expect(after[process]).toHaveLength(before[process]?.length ?? 0);
    if (process === 'mailer') expect(after).toEqual(before);
    await host.cli(['env', 'unset', 'MAIL', '--app', 'shop', '--no-restart']);
  });
}

for (const [phase, ...processes] of [
  ['renewing', 'worker', 'mailer', 'clerk'],
  ['promoting', 'web'],
  ['promoting', 'web', 'clerk'],
] as const) {
  test(`SIGKILL while ${phase} in a restart of ${processes.join(', ')}: finished`, async () => {
    const before = await pids();
    const verb = ['restart', ...processes, '--app', 'shop'];
    const { receipt } = await killedWhile(host, phase, verb);
    expect(receipt).toMatchObject({ kind: 'restart', outcome: 'succeeded', error: null, lost: 0 });
    await settled(host);
    const after = await pids();
    for (const [process, own] of Object.entries(before)) {
      expect(after[process]).toHaveLength(own.length);
      const isNamed = processes.some((name) => name === process);
      expect([process, own.some((pid) => after[process]?.includes(pid))]).toEqual([
        process,
        !isNamed,
      ]);
    }
  });
}

test('a process type that is not there changes nothing', async () => {
  const before = await pids();
  const { code, said } = await restart('wroker');
  expect(said).toContain('there is no process type wroker');
  expect(said).toContain('web, worker, mailer, clerk');
  expect(code).toBe(2);
  expect(await pids()).toEqual(before);
});

test('workers have no bake: asked for one, nothing is restarted', async () => {
  const before = await pids();
  const { code, said } = await restart('worker', '--bake', '1s');
  expect(said).toContain('no traffic to watch');
  expect(code).toBe(2);
  expect(await pids()).toEqual(before);
});

test('the next push takes over from all of it, and not one request was lost', async () => {
  expect((await pushed('v2')).code).toBe(0);
  await settled(host);
  const after = await pids();
  expect(Object.values(after).map(({ length }) => length)).toEqual([2, 1, 2, 1]);
  const left = await host.until('nothing older to run', 10_000, async () => {
    const lines = await mailed(0);
    const running = (what: string) => lines.filter((line) => line.startsWith(what)).length;
    return running('start') - running('stop') === 3 && lines;
  });
  expect(left.length).toBeGreaterThan(10);
  const report = await load.stop();
  expect(report.losses).toEqual([]);
  expect(report.ledger?.workerOverlaps).toBe(0);
});

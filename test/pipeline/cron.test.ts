import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readConfiguration } from '../../agent/configuration.ts';
import { newApp } from '../../agent/core/model.ts';
import { composeHost } from '../../agent/daemon/compose.ts';
import { Settings } from '../../agent/daemon/settings.ts';
import { createLog } from '../../agent/observe/log.ts';
import { keepSchedules } from '../../agent/pipeline/cron/cron.ts';
import { cronStatusOf } from '../../agent/pipeline/cron/status.ts';
import type { Host } from '../../agent/pipeline/host.ts';
import { Leaving } from '../../agent/runner/runner.ts';
import { openDatabase } from '../../agent/store/database.ts';
import { Layout } from '../../agent/store/layout.ts';

/** Half past two in the night, so that nothing is due for a while. */
const NIGHT = Date.UTC(2026, 2, 1, 2, 30);
const MINUTE = 60_000;

let dir: string;
let host: Host;
let database: DatabaseSync;
let clock: number;
let running: { stop: AbortController; done: Promise<void> };

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'zdd-cron-'));
  await writeFile(
    join(dir, 'agent.yaml'),
    `state_dir: ${dir}/state\nrun_dir: ${dir}/run\npath: ${dirname(process.execPath)}:/usr/bin:/bin\nhaproxy: { mode: embedded }\nlog_level: error\n`,
  );
  const configuration = readConfiguration(join(dir, 'agent.yaml'));
  const layout = new Layout(configuration.stateDir, configuration.runDir, configuration.socketsDir);
  await mkdir(layout.stateDir, { recursive: true });
  const settings = new Settings(configuration);
  database = openDatabase(layout.database);
  host = composeHost(settings, layout, dir, database, createLog('silent', false));
  clock = NIGHT;
  begin();
});
afterEach(async () => {
  await end();
  await host.runner.detach();
  await rm(dir, { recursive: true });
});

function begin(): void {
  const stop = new AbortController();
  running = { stop, done: keepSchedules(host, stop.signal, () => clock) };
}

async function end(): Promise<void> {
  running.stop.abort(new Leaving('the agent is stopping'));
  await running.done;
}

/** Makes a release the one that serves; 0: none. */
async function serve(number: number, cron = '', app = 'shop'): Promise<void> {
  const release = `r${number}-abcdef${number}`;
  if (number > 0 && host.releases.find(app, release) === null) {
    const config = `app: ${app}\nprocesses: { web: { run: x } }\n${cron}`;
    const blank = { bytes: 0, files: 0, createdAt: 0, source: '' };
    host.releases.add({ ...blank, app, release, number, digest: `d${number}`, config });
    await mkdir(host.layout.release(app, release), { recursive: true });
  }
  const stable = number === 0 ? null : { release, deployment: number };
  host.journal.commit({
    event: { type: 'resumed' },
    state: { ...newApp(app), stable, stopped: null },
    story: [],
    receipt: null,
    liveSince: null,
  });
  lookAt(clock);
  await eventually(() => hasJob(app) === cron.includes('cron:'));
}

function hasJob(app: string): boolean {
  return database.prepare('SELECT 1 FROM cron_jobs WHERE app = ?').get(app) !== undefined;
}

/** Sets the clock, and has the scheduler look at it. */
function lookAt(at: number): void {
  clock = at;
  host.journal.tell({
    ...{ type: 'environment_changed', app: 'shop', deployment: null, owner: '' },
    ...{ set: [], unset: [] },
  });
}

/** The same, and waits until all jobs that are due have been thought of: the last app's has run. */
async function passedBy(at: number): Promise<void> {
  if (!hasJob('zz')) {
    await serve(9, 'cron: { each: { schedule: "* * * * *", run: "true" } }', 'zz');
  }
  lookAt(at);
  const minute = Math.floor(at / MINUTE) * MINUTE;
  await eventually(() => host.cron.last('zz', 'each')?.dueAt === minute);
}

async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const until = Date.now() + 20_000; !(await holds()); ) {
    if (Date.now() > until) throw new Error('it never came to be so');
    await sleep(10);
  }
}

async function ran(): Promise<string[]> {
  const text = await readFile(join(dir, 'ran'), 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

const nightly = (then = 'true'): string =>
  `cron: { nightly: { schedule: "0 3 * * *", run: "echo $ZDD_RELEASE $ZDD_JOB >> ${dir}/ran; ${then}" } }`;

const last = () => cronStatusOf(host, 'shop')[0]?.last ?? null;
const told = () =>
  host.journal
    .events({ app: 'shop', since: 0 })
    .flatMap((event) => (event.type === 'cron' ? [`${event.outcome}: ${event.detail}`] : []));
const THREE = NIGHT + 30 * MINUTE;

test('a job runs at its time, once, in the release that serves then', async () => {
  await serve(1, nightly());
  await passedBy(THREE - MINUTE);
  expect(await ran()).toEqual([]);
  lookAt(THREE);
  await eventually(() => last()?.outcome === 'ok');
  expect(await ran()).toEqual(['r1-abcdef1 nightly']);
  // Neither another look, nor a restart of the agent, nor a promotion or the way back runs it again.
  await passedBy(THREE + MINUTE);
  await end();
  begin();
  await serve(2, nightly());
  await passedBy(THREE + 2 * MINUTE);
  await serve(1, nightly());
  await passedBy(THREE + 3 * MINUTE);
  await serve(2, nightly());
  expect(await ran()).toHaveLength(1);
  lookAt(THREE + 24 * 60 * MINUTE);
  await eventually(async () => (await ran()).length > 1);
  expect(await ran()).toEqual(['r1-abcdef1 nightly', 'r2-abcdef2 nightly']);
  expect(told()).toEqual([]);
});

test('a run that fails is told, and so is the first that is well again', async () => {
  await serve(1, nightly('exit 3'));
  lookAt(THREE);
  await eventually(() => last()?.outcome === 'failed');
  expect(last()).toMatchObject({ at: THREE, release: 'r1-abcdef1', detail: 'exited with 3' });
  await serve(2, nightly());
  lookAt(THREE + 24 * 60 * MINUTE);
  await eventually(() => last()?.outcome === 'ok');
  expect(told()).toEqual(['failed: exited with 3', 'ok: ']);
});

test('what was due while the agent was away is missed, and told, and not run late', async () => {
  await serve(1, nightly());
  await end();
  clock = THREE + 3 * 24 * 60 * MINUTE + 5 * MINUTE;
  begin();
  await eventually(() => last()?.outcome === 'missed');
  expect(told()).toEqual(['missed: the agent did not run, 4 times']);
  expect(await ran()).toEqual([]);
});

test('a job never runs beside itself: what comes due meanwhile is missed', async () => {
  await serve(1, nightly('sleep 600'));
  lookAt(THREE);
  await eventually(async () => (await ran()).length === 1);
  await passedBy(THREE + 24 * 60 * MINUTE);
  expect(await ran()).toHaveLength(1);
  expect(told()).toEqual(['missed: the run before is not over']);
});

test('a run that was cut by the end of the agent is told as failed, and not begun again', async () => {
  await serve(1, nightly('sleep 600'));
  lookAt(THREE);
  await eventually(async () => (await ran()).length === 1);
  await end();
  begin();
  await eventually(() => last()?.outcome === 'failed');
  await passedBy(THREE + MINUTE);
  expect(told()).toEqual(['failed: the agent was stopped while it ran']);
  expect(await ran()).toHaveLength(1);
});

test('a stopped app runs nothing, and a start makes up for nothing', async () => {
  await serve(1, nightly());
  await serve(0);
  await passedBy(THREE);
  clock = THREE + MINUTE;
  await serve(1, nightly());
  await passedBy(THREE + 2 * MINUTE);
  expect(await ran()).toEqual([]);
  expect(told()).toEqual([]);
});

import type { ChildProcess } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bootId, readStat } from '../../agent/runner/process/proc.ts';
import { writeRecord } from '../../agent/runner/process/record.ts';
import type { InstanceSpec } from '../../agent/runner/runner.ts';
import { endsOf, eventually, Laboratory, pidOf, runs, UNENDING } from './laboratory.ts';

let lab: Laboratory;
beforeEach(() => {
  lab = new Laboratory();
});
afterEach(() => lab.close());

/** An app that writes down each of its starts. */
function counting(more: Partial<InstanceSpec> = {}): InstanceSpec {
  return lab.spec({ command: ['sh', '-c', 'echo $$ >>pids; exec sleep 60'], ...more });
}

async function said(host: ChildProcess, word: string): Promise<void> {
  let text = '';
  host.stdout?.on('data', (bytes: Buffer) => {
    text += bytes.toString();
  });
  await eventually(`the host says ${word}`, () => text.split('\n').includes(word));
}

async function died(host: ChildProcess): Promise<void> {
  await eventually('the host is dead', () => host.exitCode !== null || host.signalCode !== null);
}

async function kill(host: ChildProcess): Promise<void> {
  host.kill('SIGKILL');
  await died(host);
}

/** Every app of the slot that runs now. */
function alive(): number[] {
  return lab.numbers('pids').filter(runs);
}

test('an instance outlives the SIGKILL of its daemon and is adopted with the same pid', async () => {
  const spec = counting();
  const host = lab.host('start', spec);
  await said(host, 'started');
  await eventually('the app has started', () => alive().length === 1);
  await kill(host);
  const runner = lab.runner();
  await runner.adopt();
  expect(runner.list()).toEqual([spec]);
  expect(runner.status(spec.slot)).toEqual({ state: 'running', pid: alive()[0], restarts: 0 });
  await runner.start(spec, UNENDING);
  expect(lab.numbers('pids').length).toBe(1);
});

test('a start that comes before the adoption takes up what runs', async () => {
  const spec = counting();
  const host = lab.host('start', spec);
  await said(host, 'started');
  await eventually('the app has started', () => alive().length === 1);
  await kill(host);
  const runner = lab.runner();
  await runner.start(spec, UNENDING);
  expect(pidOf(runner, spec.slot)).toBe(alive()[0]);
  expect(lab.numbers('pids').length).toBe(1);
});

test('an adopted instance that ends is told of with its exit code and started again', async () => {
  const spec = counting({
    command: [
      'sh',
      '-c',
      'echo $$ >>pids; while [ ! -e end ]; do sleep 0.02; done; rm end; exit 7',
    ],
  });
  const host = lab.host('start', spec);
  await said(host, 'started');
  await kill(host);
  const runner = lab.runner();
  const ends = endsOf(runner);
  await runner.adopt();
  writeFileSync(lab.path('end'), '');
  await eventually('a second start', () => lab.numbers('pids').length === 2);
  await eventually('the end is told', () => ends.length === 1);
  expect(ends[0]).toMatchObject({ exit: { code: 7, signal: null }, restartInMs: 100 });
});

test('an instance that crashes while no daemon runs is started again all the same', async () => {
  const spec = counting();
  const host = lab.host('start', spec);
  await said(host, 'started');
  await eventually('the app has started', () => alive().length === 1);
  await kill(host);
  for (const pid of alive()) process.kill(pid, 'SIGKILL');
  await eventually('a second start without a daemon', () => lab.numbers('pids').length === 2);
  const runner = lab.runner();
  await runner.adopt();
  expect(runner.status(spec.slot)).toEqual({
    state: 'running',
    pid: lab.numbers('pids')[1],
    restarts: 1,
  });
});

test('what died with its holder while no daemon ran is started by the next one', async () => {
  const spec = counting();
  const host = lab.host('start', spec);
  await said(host, 'started');
  await eventually('the app has started', () => alive().length === 1);
  await kill(host);
  for (const pid of lab.processes()) process.kill(pid, 'SIGKILL');
  await eventually('all is gone', () => lab.processes().length === 0);
  const runner = lab.runner();
  await runner.adopt();
  await eventually(
    'a second start',
    () => alive().length === 1 && lab.numbers('pids').length === 2,
  );
  expect(runner.status(spec.slot)).toMatchObject({ state: 'running', restarts: 1 });
});

test('a daemon killed between its record and the spawn leaves a slot that starts once', async () => {
  const spec = counting();
  mkdirSync(lab.stateDir, { recursive: true });
  await died(lab.host('die-before-spawn', spec));
  expect(lab.numbers('pids')).toEqual([]);
  const runner = lab.runner();
  await runner.adopt();
  await eventually('one app', () => alive().length === 1);

  // The spawn of the dead daemon comes late after all: it has lost its permission.
  const late = lab.host('launch-only', spec);
  await died(late);
  await eventually('the late holder is gone', () => {
    const holders = lab
      .processes()
      .filter((pid) => commandLine(pid).includes('life.from-the-host'));
    return holders.length === 0;
  });
  expect(lab.numbers('pids').length).toBe(1);
});

test('a daemon killed right after the spawn leaves an instance that is found', async () => {
  const spec = counting();
  mkdirSync(lab.stateDir, { recursive: true });
  await died(lab.host('die-after-spawn', spec));
  const runner = lab.runner();
  await runner.adopt();
  await eventually('an app', () => alive().length >= 1);
  await eventually('it is known', () => runner.status(spec.slot).state === 'running');
  expect(alive()).toEqual([pidOf(runner, spec.slot)]);
  expect(lab.numbers('pids').length).toBe(1);
});

test('wherever SIGKILL meets a starting daemon, exactly one instance comes of it', async () => {
  const spec = counting();
  for (let round = 0; round < 12; round += 1) {
    const slot = `shop.r1-d${round}-web-1`;
    const file = `pids-${round}`;
    const one = { ...spec, slot, command: ['sh', '-c', `echo $$ >>${file}; exec sleep 60`] };
    const host = lab.host('start', one);
    await said(host, 'starting');
    // Rounds differ in how far the start has come; every one of these points must be safe.
    const steps = [
      () => existsSync(join(lab.stateDir, slot)),
      () => existsSync(join(lab.stateDir, slot, 'record.json')),
      () => existsSync(join(lab.stateDir, slot, 'out')),
      () =>
        (existsSync(join(lab.stateDir, slot)) ? readdirSync(join(lab.stateDir, slot)) : []).some(
          (name) => name.startsWith('life'),
        ),
    ];
    const reached = steps[round % steps.length] ?? (() => true);
    while (!reached()) await new Promise((resolve) => setImmediate(resolve));
    await kill(host);
    const runner = lab.runner();
    await runner.adopt();
    await runner.start(one, UNENDING);
    await eventually('it runs', () => lab.numbers(file).some(runs));
    expect(lab.numbers(file).filter(runs)).toEqual([pidOf(runner, slot)]);
    await runner.stop(slot, 0, UNENDING);
    expect(lab.numbers(file).filter(runs)).toEqual([]);
    await runner.detach();
  }
});

test('a stop that a dead daemon began is brought to its end', async () => {
  const spec = counting({
    command: ['sh', '-c', 'trap "" TERM; echo $$ >>pids; while :; do sleep 0.05; done'],
  });
  const host = lab.host('stop', spec);
  await said(host, 'started');
  const record = join(lab.stateDir, spec.slot, 'record.json');
  await eventually('the stop is on disk', () =>
    readFileSync(record, 'utf8').includes('deadlineAt'),
  );
  await kill(host);
  const runner = lab.runner();
  await runner.adopt();
  expect(runner.list()).toEqual([]);
  await eventually('all is gone', () => lab.processes().length === 0);
  await eventually('it is stopped', () => runner.status(spec.slot).state === 'stopped');
});

test('a stopped slot stays stopped', async () => {
  const spec = counting();
  const first = lab.runner();
  await first.start(spec, UNENDING);
  await first.stop(spec.slot, 1_000, UNENDING);
  await first.detach();
  const runner = lab.runner();
  await runner.adopt();
  expect(runner.list()).toEqual([]);
  expect(lab.processes()).toEqual([]);
  await runner.start({ ...spec, env: { AGAIN: '1' } }, UNENDING);
  const pid = pidOf(runner, spec.slot);
  expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).toContain('AGAIN=1');
});

test.each(['adopted', 'stopped'])(
  'a pid that now belongs to another process is not touched when its slot is %s',
  async (what) => {
    const stranger = lab.spawn('setsid', ['--wait', 'sleep', '60']);
    const other = lab.spawn('sleep', ['60']);
    const pids = [stranger.pid ?? 0, other.pid ?? 0];
    await eventually('strangers run', () => pids.every(runs));
    const spec = counting();
    const generation = { token: 'old', bootId: bootId(), restarts: 2 };
    const intent =
      what === 'adopted'
        ? ({ kind: 'run', generation } as const)
        : ({ kind: 'stop', generation, deadlineAt: 0 } as const);
    mkdirSync(lab.stateDir, { recursive: true });
    await writeRecord(lab.stateDir, { spec, intent });
    // The notes of a holder and its app whose pids have been given away since.
    const [holder, app] = pids.map((pid) => `${pid} ${(readStat(pid)?.startTime ?? 0) - 1}`);
    writeFileSync(join(lab.stateDir, spec.slot, 'life.old'), `held ${holder}\nbegan ${app}\n`);
    const runner = lab.runner();
    await runner.adopt();
    if (what === 'adopted') {
      await eventually('a new app', () => alive().length === 1);
      expect(runner.status(spec.slot)).toMatchObject({ state: 'running', restarts: 3 });
    }
    await runner.stop(spec.slot, 0, UNENDING);
    expect(pids.map(runs)).toEqual([true, true]);
    expect(alive()).toEqual([]);
  },
);

test('pids of an earlier boot mean nothing', async () => {
  const stranger = lab.spawn('sleep', ['60']);
  const pid = stranger.pid ?? 0;
  await eventually('the stranger runs', () => runs(pid));
  const spec = counting();
  mkdirSync(lab.stateDir, { recursive: true });
  const generation = { token: 'old', bootId: 'another boot', restarts: 0 };
  await writeRecord(lab.stateDir, { spec, intent: { kind: 'run', generation } });
  const same = `${pid} ${readStat(pid)?.startTime}`;
  writeFileSync(join(lab.stateDir, spec.slot, 'life.old'), `held ${same}\nbegan ${same}\n`);
  const runner = lab.runner();
  await runner.adopt();
  await eventually('a new app', () => alive().length === 1);
  await runner.stop(spec.slot, 0, UNENDING);
  expect(runs(pid)).toBe(true);
});

test('a start that the kill came before is made up for, and is no restart', async () => {
  const spec = counting();
  mkdirSync(lab.stateDir, { recursive: true });
  const generation = { token: 'never', bootId: bootId(), restarts: 0 };
  await writeRecord(lab.stateDir, { spec, intent: { kind: 'run', generation } });
  const runner = lab.runner();
  await runner.adopt();
  await eventually('the app', () => alive().length === 1);
  expect(runner.status(spec.slot)).toMatchObject({ state: 'running', restarts: 0 });
  await runner.stop(spec.slot, 0, UNENDING);
});

test('a record that cannot be read keeps no other slot from being adopted', async () => {
  const spec = counting();
  const host = lab.host('start', spec);
  await said(host, 'started');
  await kill(host);
  mkdirSync(join(lab.stateDir, 'broken'));
  writeFileSync(join(lab.stateDir, 'broken', 'record.json'), '{');
  const runner = lab.runner();
  await runner.adopt();
  expect(runner.list()).toEqual([spec]);
});

// Only root can become somebody else; everybody else runs the whole file as an ordinary user anyway.
test.runIf(process.getuid?.() === 0)('an ordinary user can run, adopt and stop', async () => {
  const nobody = 65_534;
  mkdirSync(lab.stateDir, { recursive: true });
  for (const path of [lab.folder, lab.stateDir]) chownSync(path, nobody, nobody);
  const spec = counting({ cwd: lab.stateDir, command: 'sleep 60' });
  lab.file('spec.json', JSON.stringify(spec));
  const script = `
    import { createProcessRunner } from ${JSON.stringify(join(import.meta.dirname, '../../agent/runner/process/process-runner.ts'))};
    import { readFileSync } from 'node:fs';
    const spec = JSON.parse(readFileSync(${JSON.stringify(lab.path('spec.json'))}, 'utf8'));
    const { signal } = new AbortController();
    const make = () => createProcessRunner({ stateDir: ${JSON.stringify(lab.stateDir)}, ports: { from: 21000, to: 21999 }, path: '/usr/bin:/bin', log: () => {} });
    process.setgroups([]); process.setgid(${nobody}); process.setuid(${nobody});
    const first = make();
    await first.start(spec, signal);
    const started = first.status(spec.slot).pid;
    await first.detach();
    const second = make();
    await second.adopt();
    const adopted = second.status(spec.slot).pid;
    await second.stop(spec.slot, 1000, signal);
    process.stdout.write(JSON.stringify({ uid: process.getuid(), same: started === adopted, state: second.status(spec.slot).state }) + '\\n');
    await second.detach();
  `;
  const host = lab.spawn(process.execPath, ['--input-type=module-typescript', '-e', script]);
  await said(host, JSON.stringify({ uid: nobody, same: true, state: 'stopped' }));
});

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

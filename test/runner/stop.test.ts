import { existsSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { endsOf, eventually, Laboratory, runs, UNENDING } from './laboratory.ts';

let lab: Laboratory;
beforeEach(() => {
  lab = new Laboratory();
});
afterEach(() => lab.close());

test('stop lets an app end well, and tells nobody of a crash', async () => {
  const runner = lab.runner();
  const ends = endsOf(runner);
  const spec = lab.spec({
    command: [
      'sh',
      '-c',
      'trap "echo well >ended; exit 0" TERM; echo 1 >ready; while :; do sleep 0.02; done',
    ],
  });
  await runner.start(spec, UNENDING);
  await eventually('the app is ready', () => existsSync(lab.path('ready')));
  await runner.stop(spec.slot, 10_000, UNENDING);
  expect(lab.read('ended')).toBe('well\n');
  expect(lab.processes()).toEqual([]);
  expect(runner.status(spec.slot)).toEqual({ state: 'stopped' });
  expect(ends).toEqual([]);
  await runner.stop(spec.slot, 10_000, UNENDING);
  await runner.stop('shop.never-was', 10_000, UNENDING);
});

test('an app that does not heed SIGTERM is killed, with every process of its group', async () => {
  const runner = lab.runner();
  lab.file('child.sh', 'trap "" TERM; echo $$ >>pids; while :; do sleep 0.05; done');
  const spec = lab.spec({
    command: ['sh', '-c', 'trap "" TERM; sh child.sh & sh child.sh & echo $$ >>pids; wait'],
  });
  await runner.start(spec, UNENDING);
  await eventually('three processes', () => lab.numbers('pids').length === 3);
  await runner.stop(spec.slot, 200, UNENDING);
  expect(lab.numbers('pids').filter(runs)).toEqual([]);
  expect(lab.processes()).toEqual([]);
});

test('the app behind a wrapper that dies of SIGTERM still ends well', async () => {
  const runner = lab.runner();
  lab.file(
    'app.sh',
    'trap "echo well >ended; exit 0" TERM; echo 1 >ready; while :; do sleep 0.02; done',
  );
  // The echo keeps the shell from replacing itself by the app, as in scripts without exec.
  lab.file('wrapper.sh', '#!/bin/sh\nsh app.sh\necho after');
  const spec = lab.spec({ command: './wrapper.sh' });
  await runner.start(spec, UNENDING);
  await eventually('the app is ready', () => existsSync(lab.path('ready')));
  await runner.stop(spec.slot, 10_000, UNENDING);
  expect(lab.read('ended')).toBe('well\n');
});

test('a supervisor ends its own children: they get no SIGTERM while it lives', async () => {
  const runner = lab.runner();
  lab.file(
    'child.sh',
    'trap "echo struck >>story; exit 1" TERM; trap "echo asked >>story; exit 0" USR1; echo $$ >child; while :; do sleep 0.02; done',
  );
  lab.file(
    'parent.sh',
    'sh child.sh & child=$!; trap "kill -USR1 $child; wait $child; exit 0" TERM; echo 1 >ready; while :; do sleep 0.02; done',
  );
  const spec = lab.spec({ command: 'sh parent.sh' });
  await runner.start(spec, UNENDING);
  await eventually('both are ready', () => lab.read('ready') !== '' && lab.read('child') !== '');
  await runner.stop(spec.slot, 10_000, UNENDING);
  expect(lab.read('story')).toBe('asked\n');
});

test('an app that has made its own session is killed with what it started there', async () => {
  const runner = lab.runner();
  lab.file(
    'app.sh',
    'trap "" TERM; sh -c "trap : TERM; echo \\$\\$ >>pids; while :; do sleep 0.05; done" & echo $$ >>pids; while :; do sleep 0.05; done',
  );
  // setsid(1) forks when it leads a group, which an app of ours does not.
  const spec = lab.spec({ command: 'setsid sh app.sh' });
  await runner.start(spec, UNENDING);
  await eventually('two processes', () => lab.numbers('pids').length === 2);
  await runner.stop(spec.slot, 100, UNENDING);
  expect(lab.numbers('pids').filter(runs)).toEqual([]);
});

test('a stop during the pause after a crash cancels the restart', async () => {
  const runner = lab.runner();
  const spec = lab.spec({ command: ['sh', '-c', 'echo $$ >>pids; exit 1'] });
  await runner.start(spec, UNENDING);
  await eventually('a long pause', () => {
    const status = runner.status(spec.slot);
    return status.state === 'backing_off' && status.restarts >= 3;
  });
  const starts = lab.numbers('pids').length;
  await runner.stop(spec.slot, 10_000, UNENDING);
  expect(lab.processes()).toEqual([]);
  expect(lab.numbers('pids').length).toBe(starts);
  expect(runner.status(spec.slot)).toEqual({ state: 'stopped' });
});

test('a second stop can shorten the grace of the first', async () => {
  const runner = lab.runner();
  const spec = lab.spec({
    command: ['sh', '-c', 'trap "" TERM; echo 1 >ready; while :; do sleep 0.05; done'],
  });
  await runner.start(spec, UNENDING);
  await eventually('the app is ready', () => existsSync(lab.path('ready')));
  const first = runner.stop(spec.slot, 3_600_000, UNENDING);
  await runner.stop(spec.slot, 0, UNENDING);
  await first;
  expect(lab.processes()).toEqual([]);
});

test('a stop whose waiting is aborted goes on by itself', async () => {
  const runner = lab.runner();
  const spec = lab.spec({
    command: ['sh', '-c', 'trap "" TERM; echo 1 >ready; while :; do sleep 0.05; done'],
  });
  await runner.start(spec, UNENDING);
  await eventually('the app is ready', () => existsSync(lab.path('ready')));
  const abort = new AbortController();
  const stop = runner.stop(spec.slot, 300, abort.signal);
  abort.abort(new Error('enough'));
  await expect(stop).rejects.toThrow('enough');
  expect(runner.list()).toEqual([]);
  await eventually('it is stopped', () => runner.status(spec.slot).state === 'stopped');
  expect(lab.processes()).toEqual([]);
});

test('detach leaves instances running', async () => {
  const runner = lab.runner();
  const spec = lab.spec({ command: ['sh', '-c', 'echo $$ >>pids; exec sleep 60'] });
  await runner.start(spec, UNENDING);
  await eventually('the app has started', () => lab.numbers('pids').length === 1);
  await runner.detach();
  expect(lab.numbers('pids').every(runs)).toBe(true);
});

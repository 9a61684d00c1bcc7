import { existsSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { endsOf, eventually, Laboratory, pidOf, runs, UNENDING } from './laboratory.ts';

let lab: Laboratory;
beforeEach(() => {
  lab = new Laboratory();
});
afterEach(() => lab.close());

test('an instance gets its own variables, PATH, HOME, LANG and nothing of the daemon', async () => {
  process.env['DAEMON_SECRET'] = 'never';
  const runner = lab.runner();
  const spec = lab.spec({
    command: ['/bin/sh', '-c', 'env >env.txt.new; mv env.txt.new env.txt; exec sleep 60'],
    env: { COLOUR: 'a b "c"', lower_case: '1' },
    listen: { kind: 'unix', path: lab.path('run/web.sock'), activation: false },
  });
  await runner.start(spec, UNENDING);
  await eventually('the app has written its environment', () => lab.read('env.txt') !== '');
  const lines = lab.read('env.txt').trim().split('\n');
  const names = lines.map((line) => line.split('=')[0]).sort();
  // PWD is what a shell adds.
  expect(names.filter((name) => !['PWD', 'OLDPWD', '_', 'SHLVL'].includes(name ?? ''))).toEqual(
    ['COLOUR', 'HOME', 'LANG', 'PATH', 'SOCKET', 'ZDD_SLOT', 'ZDD_SOCKET', 'lower_case'].sort(),
  );
  expect(lines).toContain('COLOUR=a b "c"');
  expect(lines).toContain(`ZDD_SOCKET=${lab.path('run/web.sock')}`);
  expect(lines).toContain(`SOCKET=${lab.path('run/web.sock')}`);
  expect(statSync(lab.path('run')).mode & 0o007).toBe(0);
});

test('a tcp instance is told its port and to listen on loopback only', async () => {
  const runner = lab.runner();
  const port = await runner.freePort(new Set());
  const spec = lab.spec({
    command: 'sh -c \'echo "$HOST:$PORT" >where; exec sleep 60\'',
    listen: { kind: 'tcp', port, activation: false },
  });
  await runner.start(spec, UNENDING);
  await eventually('the app says where', () => lab.read('where') === `127.0.0.1:${port}\n`);
});

test('a shell line replaces its shell, so the recorded pid is the app', async () => {
  const runner = lab.runner();
  lab.file('app.sh', '#!/bin/sh\necho $$ $GREETING $1 >said\nexec sleep 60\n');
  const spec = lab.spec({ command: '  GREETING="good day" ./app.sh "$ZDD_SLOT"' });
  await runner.start(spec, UNENDING);
  await eventually('the app has spoken', () => lab.read('said') !== '');
  expect(lab.read('said')).toBe(`${pidOf(runner, spec.slot)} good day ${spec.slot}\n`);
});

test('every command of a line of several is run', async () => {
  const runner = lab.runner();
  const spec = lab.spec({ command: 'echo one >first && echo two >second; sleep 60' });
  await runner.start(spec, UNENDING);
  await eventually('both have run', () => lab.read('second') === 'two\n');
  expect(lab.read('first')).toBe('one\n');
  await runner.stop(spec.slot, 10_000, UNENDING);
  expect(lab.processes()).toEqual([]);
});

test('arguments of a list are not read by a shell', async () => {
  const runner = lab.runner();
  const spec = lab.spec({
    command: ['/bin/sh', '-c', 'echo "$1" >said; exec sleep 60', 'x', '$HOME; *'],
  });
  await runner.start(spec, UNENDING);
  await eventually('the app has spoken', () => lab.read('said') === '$HOME; *\n');
});

test('starting a slot that runs leaves it as it is', async () => {
  const runner = lab.runner();
  const spec = lab.spec({ command: ['sh', '-c', 'echo $$ >>pids; exec sleep 60'] });
  await Promise.all([runner.start(spec, UNENDING), runner.start(spec, UNENDING)]);
  await runner.start(spec, UNENDING);
  await eventually('the app has started', () => lab.numbers('pids').length > 0);
  expect(lab.numbers('pids')).toEqual([pidOf(runner, spec.slot)]);
  expect(runner.list()).toEqual([spec]);
});

test.each([
  ['a line', 'no-such-command --port 1'],
  ['a list', ['no-such-command', '--port', '1']],
  ['a line with variables', 'A=1 no-such-command'],
  ['a word that only a shell knows', 'cd /tmp'],
])('%s whose command does not exist is refused and leaves nothing', async (_, command) => {
  const runner = lab.runner();
  const ends = endsOf(runner);
  const spec = lab.spec({ command });
  await expect(runner.start(spec, UNENDING)).rejects.toMatchObject({
    code: 'ZDD_START_COMMAND_NOT_FOUND',
  });
  expect(runner.list()).toEqual([]);
  expect(runner.status(spec.slot)).toEqual({ state: 'stopped' });
  expect(ends).toEqual([]);
  expect(lab.processes()).toEqual([]);
});

test('a file that may not be executed, or whose interpreter is missing, is refused', async () => {
  const runner = lab.runner();
  lab.file('plain.txt', 'no program');
  lab.spawn('chmod', ['0644', lab.path('plain.txt')]);
  await eventually('chmod', () => (statSync(lab.path('plain.txt')).mode & 0o777) === 0o644);
  lab.file('script', '#!/usr/bin/env no-such-interpreter\n');
  for (const command of ['./plain.txt', './script']) {
    await expect(runner.start(lab.spec({ command }), UNENDING)).rejects.toMatchObject({
      code: 'ZDD_START_COMMAND_NOT_FOUND',
    });
  }
});

test('a folder that does not exist and a socket path that HAProxy cannot take are refused', async () => {
  const runner = lab.runner();
  const cases = [
    lab.spec({ command: 'sleep 60', cwd: lab.path('nowhere') }),
    lab.spec({
      command: 'sleep 60',
      listen: { kind: 'unix', path: lab.path(`${'x'.repeat(97)}.sock`), activation: false },
    }),
    lab.spec({
      command: 'sleep 60',
      listen: { kind: 'unix', path: lab.file('precious', 'data'), activation: false },
    }),
  ];
  for (const spec of cases) {
    await expect(runner.start(spec, UNENDING)).rejects.toMatchObject({ code: 'ZDD_START_FAILED' });
  }
  expect(lab.read('precious')).toBe('data');
  expect(lab.processes()).toEqual([]);
});

test.each([true, false])('a port in use is refused (activation: %s)', async (activation) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await eventually('the port is taken', () => taken.listening);
  const address = taken.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const spec = lab.spec({ command: 'sleep 60', listen: { kind: 'tcp', port, activation } });
  await expect(lab.runner().start(spec, UNENDING)).rejects.toMatchObject({
    code: 'ZDD_PORT_IN_USE',
  });
  taken.close();
});

test('a crashed instance is told of, started again after a growing pause, and counted', async () => {
  const runner = lab.runner();
  const ends = endsOf(runner);
  const spec = lab.spec({
    command: ['sh', '-c', 'echo $$ >>pids; [ $(wc -l <pids) -ge 4 ] && exec sleep 60; exit 3'],
  });
  await runner.start(spec, UNENDING);
  await eventually('the fourth start', () => lab.numbers('pids').length === 4);
  await eventually('three ends', () => ends.length === 3);
  expect(ends.map(({ exit }) => exit)).toEqual(Array(3).fill({ code: 3, signal: null }));
  expect(ends.map(({ restartInMs }) => restartInMs)).toEqual([100, 200, 400]);
  await eventually('running again', () => runner.status(spec.slot).state === 'running');
  expect(runner.status(spec.slot)).toEqual({
    state: 'running',
    pid: lab.numbers('pids')[3],
    restarts: 3,
  });
});

test('while an instance waits for its next start, status says when and why', async () => {
  const runner = lab.runner();
  const spec = lab.spec({ command: ['sh', '-c', 'kill -SEGV $$'] });
  const before = Date.now();
  await runner.start(spec, UNENDING);
  const status = await eventually('a pause of a second', () => {
    const now = runner.status(spec.slot);
    return now.state === 'backing_off' && now.restarts >= 4 ? now : undefined;
  });
  expect(status.lastExit).toEqual({ code: null, signal: 'SIGSEGV' });
  expect(status.nextStartAt).toBeGreaterThan(before);
});

test('a stale socket of a crashed run does not keep the next one from listening', async () => {
  const runner = lab.runner();
  lab.file(
    'app.js',
    `require('net').createServer().listen(process.env.SOCKET, () => {
      require('fs').appendFileSync('pids', process.pid + '\\n');
    });`,
  );
  const spec = lab.spec({
    command: [process.execPath, 'app.js'],
    listen: { kind: 'unix', path: lab.path('web.sock'), activation: false },
  });
  await runner.start(spec, UNENDING);
  await eventually('listening', () => lab.numbers('pids').length === 1);
  process.kill(pidOf(runner, spec.slot), 'SIGKILL');
  await eventually('listening again', () => lab.numbers('pids').length === 2);
  await runner.stop(spec.slot, 1_000, UNENDING);
  expect(existsSync(lab.path('web.sock'))).toBe(false);
});

test('a holder that is killed takes nothing with it, and is replaced when the app ends', async () => {
  const runner = lab.runner();
  const ends = endsOf(runner);
  const spec = lab.spec({ command: ['sh', '-c', 'echo $$ >>pids; exec sleep 60'] });
  await runner.start(spec, UNENDING);
  await eventually('the app has started', () => lab.numbers('pids').length === 1);
  const pid = pidOf(runner, spec.slot);
  const parent = Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/PPid:\s+(\d+)/)?.[1]);
  process.kill(parent, 'SIGKILL');
  await eventually('the holder is gone', () => !runs(parent));
  expect(runs(pid)).toBe(true);
  process.kill(pid, 'SIGKILL');
  await eventually('a new app', () => lab.numbers('pids').length === 2);
  expect(ends.map(({ exit }) => exit)).toEqual([{ code: null, signal: null }]);
  await eventually('restart counted', () => {
    const status = runner.status(spec.slot);
    return status.state === 'running' && status.restarts === 1;
  });
});

test('an app that signals its own group does not end its holder', async () => {
  const runner = lab.runner();
  const spec = lab.spec({
    command: [
      'sh',
      '-c',
      'echo $$ >>pids; [ $(wc -l <pids) -ge 2 ] && exec sleep 60; kill -TERM 0',
    ],
  });
  const ends = endsOf(runner);
  await runner.start(spec, UNENDING);
  await eventually('the second start', () => lab.numbers('pids').length === 2);
  await eventually('its end is told', () => ends.length === 1);
  expect(ends[0]?.exit).toEqual({ code: null, signal: 'SIGTERM' });
});

test('what a crashed app leaves behind is ended before the next start', async () => {
  const runner = lab.runner();
  const spec = lab.spec({
    command: [
      'sh',
      '-c',
      'echo $$ >>pids; [ -e left ] && exec sleep 60; sleep 60 & echo $! >left; exit 1',
    ],
  });
  await runner.start(spec, UNENDING);
  await eventually('the second start', () => lab.numbers('pids').length === 2);
  expect(lab.numbers('left').filter(runs)).toEqual([]);
});

test('only the owner can read what holds the environment and the output', async () => {
  const runner = lab.runner();
  const spec = lab.spec({
    command: 'sh -c "echo said; exec sleep 60"',
    env: { KEY: 'secret-value' },
  });
  await runner.start(spec, UNENDING);
  const times = join(lab.stateDir, spec.slot, 'out.times');
  await eventually('output is noted', () => existsSync(times));
  const mode = (path: string) => statSync(path).mode & 0o777;
  const folder = join(lab.stateDir, spec.slot);
  expect([mode(lab.stateDir), mode(folder)]).toEqual([0o700, 0o700]);
  expect(
    ['record.json', 'out', 'err', 'out.times'].map((name) => mode(join(folder, name))),
  ).toEqual([0o600, 0o600, 0o600, 0o600]);
  expect(readFileSync(join(folder, 'record.json'), 'utf8')).toContain('secret-value');
  await runner.stop(spec.slot, 1_000, UNENDING);
  expect(readFileSync(join(folder, 'record.json'), 'utf8')).not.toContain('secret-value');
});

test('an aborted start leaves nothing behind', async () => {
  const runner = lab.runner();
  const abort = new AbortController();
  const spec = lab.spec({ command: 'echo $(sleep 30)' });
  const start = runner.start(spec, abort.signal);
  await eventually('the shell is at work', () => lab.processes().length > 1);
  abort.abort(new Error('enough'));
  await expect(start).rejects.toThrow('enough');
  await eventually('nothing is left', () => lab.processes().length === 0);
  expect(runner.list()).toEqual([]);
});

import { statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { InstanceSpec } from '../../agent/runner/runner.ts';
import { eventually, Laboratory, pidOf, runs, UNENDING } from './laboratory.ts';

/** Answers each connection with its pid and what it knows of the listener. */
const APP = `
  const { LISTEN_FDS, LISTEN_PID, PORT, SOCKET } = process.env;
  require('net').createServer((socket) => {
    socket.once('data', (bytes) => {
      if (bytes.toString() === 'crash') process.exit(9);
      const own = LISTEN_PID === String(process.pid);
      socket.end(JSON.stringify({ pid: process.pid, LISTEN_FDS, own, PORT, SOCKET }));
    });
  }).listen({ fd: 3 }, () => require('fs').appendFileSync('pids', process.pid + '\\n'));
`;

let lab: Laboratory;
beforeEach(() => {
  lab = new Laboratory();
  lab.file('app.js', APP);
});
afterEach(() => lab.close());

async function specOf(kind: string, port: () => Promise<number>): Promise<InstanceSpec> {
  const command = [process.execPath, 'app.js'];
  return kind === 'unix'
    ? lab.spec({ command, listen: { kind: 'unix', path: lab.path('web.sock'), activation: true } })
    : lab.spec({ command, listen: { kind: 'tcp', port: await port(), activation: true } });
}

function open({ listen }: InstanceSpec): Socket {
  switch (listen.kind) {
    case 'unix':
      return connect({ path: listen.path });
    case 'tcp':
      return connect({ host: '127.0.0.1', port: listen.port });
    case 'none':
      throw new Error('it does not listen');
  }
}

/** Connects, says a word and gives back all of the answer; fails when refused or reset. */
async function ask(spec: InstanceSpec, word = 'who'): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = open(spec);
  let answer = '';
  socket.on('error', reject);
  socket.on('data', (bytes) => {
    answer += bytes.toString();
  });
  socket.on('close', () => resolve(answer));
  socket.write(word);
  return await promise;
}

test.each(['unix', 'tcp'])('the app inherits the open %s listener as fd 3', async (kind) => {
  const runner = lab.runner();
  const spec = await specOf(kind, () => runner.freePort(new Set()));
  await runner.start(spec, UNENDING);
  // Not one answer is waited for before: the listener is there from the first moment.
  expect(JSON.parse(await ask(spec))).toEqual({
    pid: pidOf(runner, spec.slot),
    LISTEN_FDS: '1',
    own: true,
  });
  if (spec.listen.kind === 'unix') expect(statSync(spec.listen.path).mode & 0o777).toBe(0o660);
  await runner.stop(spec.slot, 5_000, UNENDING);
  await expect(ask(spec)).rejects.toThrow();
  expect(lab.processes()).toEqual([]);
});

test.each(['unix', 'tcp'])(
  'connections that come while a %s instance is crashed are queued and answered',
  async (kind) => {
    const runner = lab.runner();
    const spec = await specOf(kind, () => runner.freePort(new Set()));
    await runner.start(spec, UNENDING);
    await eventually('listening', () => lab.numbers('pids').length === 1);
    await ask(spec, 'crash').catch(() => '');
    await eventually('it is down', () => runner.status(spec.slot).state === 'backing_off');
    expect(lab.numbers('pids').filter(runs)).toEqual([]);
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(spec)));
    const second = lab.numbers('pids')[1];
    expect(answers.map((answer) => JSON.parse(answer).pid)).toEqual(Array(50).fill(second));
  },
);

test('the listener outlives the daemon, and a crash after that', async () => {
  const spec = await specOf('unix', async () => 0);
  const host = lab.host('start', spec);
  await eventually('listening', () => lab.numbers('pids').length === 1);
  host.kill('SIGKILL');
  await eventually('the host is dead', () => host.signalCode !== null);
  await ask(spec, 'crash').catch(() => '');
  expect(JSON.parse(await ask(spec)).pid).toBe(lab.numbers('pids')[1]);
  const runner = lab.runner();
  await runner.adopt();
  expect(runner.status(spec.slot)).toEqual({
    state: 'running',
    pid: lab.numbers('pids')[1],
    restarts: 1,
  });
});

test('an app that accepts without waiting for readiness gets a blocking listener', async () => {
  const spec = lab.spec({
    command: ['grep', '-H', 'flags', '/proc/self/fdinfo/3'],
    listen: { kind: 'unix', path: lab.path('web.sock'), activation: true },
  });
  const runner = lab.runner();
  await runner.start(spec, UNENDING);
  const line = await eventually('flags', async () => (await runner.output({ app: 'shop' }, 1))[0]);
  const flags = Number.parseInt(line.text.replace(/.*flags:\s*/, ''), 8);
  // O_NONBLOCK of Linux.
  expect(flags & 0o4000).toBe(0);
});

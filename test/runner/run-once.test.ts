import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { OnceSpec } from '../../agent/runner/runner.ts';
import { eventually, Laboratory, runs, UNENDING } from './laboratory.ts';

let lab: Laboratory;
beforeEach(() => {
  lab = new Laboratory();
});
afterEach(() => lab.close());

function once(command: OnceSpec['command'], timeoutMs = 60_000): OnceSpec {
  const of = { name: 'shop.r1-d1-release', app: 'shop', release: 'r1' };
  return { ...of, command, cwd: lab.folder, env: { WORD: 'given' }, timeoutMs };
}

test('a command is run to its end, its output and exit code are kept', async () => {
  const result = await lab
    .runner()
    .runOnce(once("sh -c 'echo $WORD; echo bad >&2; printf unended; exit 4'"), UNENDING);
  expect(result.exit).toEqual({ code: 4, signal: null });
  expect(result.timedOut).toBe(false);
  expect([...result.output].sort()).toEqual(['bad', 'given', 'unended']);
});

test('of much output the last 200 lines are kept', async () => {
  const { output } = await lab.runner().runOnce(once(['seq', '1', '5000']), UNENDING);
  expect(output).toEqual(Array.from({ length: 200 }, (_, n) => String(4_801 + n)));
});

test('a command that does not exist says so; a folder that does not exist is an error', async () => {
  const runner = lab.runner();
  const result = await runner.runOnce(once('no-such-migration'), UNENDING);
  expect(result.exit.code).toBe(127);
  expect(result.output.join('\n')).toContain('no-such-migration');
  await expect(
    runner.runOnce({ ...once('true'), cwd: lab.path('nowhere') }, UNENDING),
  ).rejects.toMatchObject({ code: 'ZDD_RELEASE_COMMAND_FAILED' });
});

test('a timeout ends the command and its grandchildren', async () => {
  lab.file('grandchild.sh', 'echo $$ >>pids; exec sleep 60');
  const command = ['sh', '-c', 'echo $$ >>pids; sh -c "sh grandchild.sh & wait" & wait'];
  const result = await lab.runner().runOnce(once(command, 700), UNENDING);
  expect(result).toMatchObject({ timedOut: true, exit: { code: null, signal: 'SIGTERM' } });
  expect(lab.numbers('pids').length).toBe(2);
  expect(lab.numbers('pids').filter(runs)).toEqual([]);
  expect(lab.processes()).toEqual([]);
});

test('an abort ends what does not heed SIGTERM too', async () => {
  const abort = new AbortController();
  const command = ['sh', '-c', 'trap "" TERM; echo $$ >pids; while :; do sleep 0.05; done'];
  const run = lab.runner().runOnce(once(command), abort.signal);
  await eventually('it runs', () => lab.numbers('pids').length === 1);
  abort.abort(new Error('enough'));
  await expect(run).rejects.toThrow('enough');
  expect(lab.processes()).toEqual([]);
});

test('what a command leaves in the background is ended, and its open pipe is not waited for', async () => {
  const command = ['sh', '-c', 'sleep 60 & echo $! >pids; setsid sleep 60 & echo done'];
  const result = await lab.runner().runOnce(once(command), UNENDING);
  expect(result.output).toEqual(['done']);
  expect(result.exit.code).toBe(0);
  expect(lab.numbers('pids').length).toBe(1);
  expect(lab.numbers('pids').filter(runs)).toEqual([]);
});

test('a command that outlives its daemon is ended by the next one', async () => {
  lab.file(
    'host.mjs',
    `import { createProcessRunner } from ${JSON.stringify(join(import.meta.dirname, '../../agent/runner/process/process-runner.ts'))};
    const runner = createProcessRunner({ stateDir: ${JSON.stringify(lab.stateDir)}, ports: { from: 1, to: 1 }, path: '/usr/bin:/bin', log: () => {} });
    await runner.runOnce({ name: 'shop.r1-d1-release', app: 'shop', release: 'r1', command: ['sh', '-c', 'echo $$ >pids; exec sleep 60'], cwd: ${JSON.stringify(lab.folder)}, env: {}, timeoutMs: 60000 }, new AbortController().signal);`,
  );
  const host = lab.spawn(process.execPath, [lab.path('host.mjs')]);
  await eventually('it runs', () => lab.numbers('pids').length === 1);
  host.kill('SIGKILL');
  await eventually('the host is dead', () => host.signalCode !== null);
  expect(lab.numbers('pids').every(runs)).toBe(true);
  await lab.runner().adopt();
  expect(lab.numbers('pids').filter(runs)).toEqual([]);
  expect(existsSync(join(lab.stateDir, '.once', 'anything'))).toBe(false);
});

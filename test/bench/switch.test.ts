import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import type { BenchSession } from '../../bench/bench.ts';
import { measure } from '../../bench/switch/measure.ts';
import { plainRestart } from '../../bench/switch/plain-restart.ts';
import { openStage, type Stage } from '../../bench/switch/stage.ts';
import type { Tool } from '../../bench/switch/tool.ts';
import { table } from '../../bench/table.ts';
import { now } from '../../load/outcome.ts';

const MAIN = fileURLToPath(new URL('../../bench/main.ts', import.meta.url));
const session: BenchSession = { say: () => {}, signal: new AbortController().signal };

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

test('a plain restart loses requests and cuts every WebSocket, and the row says so', async () => {
  await using stage = await openStage(session);
  const row = await measure(plainRestart, stage, 1);
  expect(row).toMatchObject({ tool: 'plain restart', switches: 1, wsClosedAtStop: 0 });
  expect(row.lost).toBeGreaterThan(0);
  expect(row.lost).toBeLessThan(row.requests);
  expect(row.lostByReason.refused).toBeGreaterThan(0);
  expect(row.wsCut).toBe(100);
  expect(row.wsOpened).toBeGreaterThan(100);
  expect(row.switchMs).toBeGreaterThan(0);
});

test('a tool that moves traffic first and stops the old app later cuts nothing by the switch', async () => {
  // The front is what a proxy is to the client: a second app on which all clients stay.
  const front: Tool = {
    name: 'front',
    prepare: async () => {},
    async start(stage) {
      const port = await stage.freePort();
      const app = await stage.startApp('v1', port);
      return {
        url: `http://127.0.0.1:${port}`,
        async switchTo() {
          const beganAt = now();
          return { release: 'v1', beganAt, commandAt: beganAt, stopAt: beganAt, endedAt: now() };
        },
        [Symbol.asyncDispose]: () => app.stop(),
      };
    },
  };
  await using stage = await openStage(session);
  const row = await measure(front, stage, 1);
  expect(row).toMatchObject({ lost: 0, wsOpened: 100, wsCut: 0, wsClosedAtStop: 0, oldUntilMs: 0 });
});

test('a stage leaves no process and no folder behind', async () => {
  let left: { readonly stage: Stage; readonly url: string } | undefined;
  {
    await using stage = await openStage(session);
    const port = await stage.freePort();
    await stage.startApp('v1', port);
    left = { stage, url: `http://127.0.0.1:${port}/` };
    expect((await fetch(left.url)).status).toBe(200);
  }
  await expect(fetch(left.url)).rejects.toThrow();
  expect(await exists(left.stage.folder)).toBe(false);
});

test('a program that fails says with what words', async () => {
  await using stage = await openStage(session);
  const failed = stage.run('sh', ['-c', 'echo no such upstream >&2; exit 3']);
  await expect(failed.succeeded()).rejects.toThrow('sh ended with 3: no such upstream');
  await expect(stage.run('/no/such/program', []).succeeded()).rejects.toThrow('did not start');
});

test('the list names the benchmark, an unknown one is refused', async () => {
  const bench = (...args: string[]) => promisify(execFile)(process.execPath, [MAIN, ...args]);
  expect((await bench()).stdout).toContain('switch');
  await expect(bench('swich')).rejects.toMatchObject({
    code: 1,
    stderr: 'Error: no benchmark is called swich\nTry: npm run bench\n',
  });
  await expect(bench('switch', '--switches', '0')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('--switches: expected a whole number ≥ 1, got 0'),
  });
});

test('a table is Markdown with its numbers to the right', () => {
  expect(
    table(
      ['tool', 'lost', 'p99'],
      [
        ['a', 21_403, 7.25],
        ['longer', 0, null],
      ],
    ),
  ).toBe(
    [
      '| tool   |   lost | p99 |',
      '| ------ | -----: | --: |',
      '| a      | 21,403 | 7.3 |',
      '| longer |      0 |   – |',
    ].join('\n'),
  );
});

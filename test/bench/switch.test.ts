import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import type { BenchSession } from '../../bench/bench.ts';
import { measure } from '../../bench/switch/measure.ts';
import { plainRestart } from '../../bench/switch/plain-restart.ts';
import { rowOf, wsOf } from '../../bench/switch/row.ts';
import { openStage, type Stage } from '../../bench/switch/stage.ts';
import { table } from '../../bench/table.ts';
import type { Outcome } from '../../load/outcome.ts';
import { Records } from '../../load/records.ts';
import { reportWindows } from '../../load/report.ts';

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

test('a WebSocket closed by the switch is cut, one that the old app ends at its stop is not', () => {
  const seen = [
    { release: 'v2', beganAt: 900, commandAt: 1_000, stopAt: 3_000, endedAt: 4_000 },
    { release: 'v3', beganAt: 8_900, commandAt: 9_000, stopAt: 9_500, endedAt: 9_500 },
  ];
  const ws = (closedAt: number, code: number) => wsOf([{ closedAt, code }], seen);
  const cut = { cut: 1, closedAtStop: 0 };
  expect(ws(1_010, 1001), 'by the switch, politely').toEqual(cut);
  expect(ws(2_999, 1006), 'by the switch, without a word').toEqual(cut);
  expect(ws(3_001, 1001), "by the old app's goodbye").toEqual({ cut: 0, closedAtStop: 1 });
  expect(ws(3_001, 1006), 'at the stop, but not by a goodbye').toEqual(cut);
  expect(ws(7_000, 1001), 'when nobody did anything').toEqual(cut);
  expect(ws(9_400, 1001), 'by a command that does both').toEqual(cut);
  expect(ws(9_600, 1001), 'by the same, a moment after it ended').toEqual(cut);
});

test('the row tells near from far, and how long the old release was asked', () => {
  const records = new Records(1_000);
  const add = (start: number, ms: number, release: string, outcome: Outcome = 'ok') =>
    records.add({
      kind: 'busy',
      start,
      firstByte: start + ms,
      end: start + ms,
      status: 200,
      release,
      outcome,
      reused: true,
      detail: '',
    });
  add(1_000, 3, 'v1');
  add(9_600, 40, 'v1');
  add(10_070, 60, 'v1');
  add(10_080, 20, 'v2');
  add(10_700, 70, 'v2');
  add(12_000, 4, 'v2');
  add(10_050, 2, '', 'reset');
  add(10_290, 15, '', 'reset');
  const switched = {
    release: 'v2',
    beganAt: 9_500,
    commandAt: 10_000,
    stopAt: 10_300,
    endedAt: 10_400,
  };
  const row = rowOf(
    'a tool',
    {
      report: { requests: 8, lost: 2, lostByReason: { reset: 2 }, websockets: { opened: 7 } },
      websocketCloses: [],
      rows: () => records.rows(),
      windows: (windows, side) => reportWindows(records, windows, side),
    },
    [{ ...switched, firstAnswerAt: 10_100 }],
  );
  expect(row).toMatchObject({
    tool: 'a tool',
    switches: 1,
    requests: 8,
    lost: 2,
    lostAtStop: 1,
    wsOpened: 7,
    switchMs: 100,
    switchMaxMs: 100,
    oldUntilMs: 70,
    deployMs: 600,
    p99NearMs: 70,
    p99FarMs: 4,
  });
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

import { expect, test } from 'vitest';
import type { RequestRecord } from '../../load/outcome.ts';
import { Records } from '../../load/records.ts';
import { latencyOf, reportRequests, reportWindows } from '../../load/report.ts';

function record(change: Partial<RequestRecord> = {}): RequestRecord {
  const start = change.start ?? 1_000;
  return {
    kind: 'busy',
    start,
    firstByte: start + 1,
    end: start + 2,
    status: 200,
    release: 'r1',
    outcome: 'ok',
    reused: true,
    detail: '',
    ...change,
  };
}

function recordsOf(...changes: Partial<RequestRecord>[]): Records {
  const records = new Records(1_000_000);
  for (const change of changes) records.add(record(change));
  return records;
}

test('every request is read back as it was, also after the columns have grown', () => {
  const records = new Records(1_000_000);
  const count = 40_000;
  for (let n = 0; n < count; n += 1) {
    records.add(
      record({
        start: 1_790_000_000_000 + n,
        firstByte: 1_790_000_000_001 + n,
        end: 1_790_000_000_002 + n,
        release: `r${n % 3}`,
        outcome: n % 1_000 === 0 ? 'reset' : 'ok',
        kind: n % 2 === 0 ? 'upload' : 'stream',
        status: n % 1_000 === 0 ? 0 : 200,
        reused: n % 2 === 0,
      }),
    );
  }
  expect(records).toMatchObject({ length: count, lost: 40, appErrors: 0, full: false });
  const rows = [...records.rows()];
  expect(rows).toHaveLength(count);
  expect(rows[39_999]).toEqual({
    kind: 'stream',
    start: 1_790_000_039_999,
    firstByte: 1_790_000_040_000,
    end: 1_790_000_040_001,
    status: 200,
    release: 'r0',
    outcome: 'ok',
    reused: false,
  });
  expect(rows[1_000]).toMatchObject({ outcome: 'reset', kind: 'upload', status: 0, reused: true });
});

test('the limit is told', () => {
  const records = new Records(2);
  records.add(record());
  expect(records.full).toBe(false);
  records.add(record());
  expect(records.full).toBe(true);
});

test('lost requests are kept whole, fifty thousand at most', () => {
  const records = new Records(100_000);
  for (let n = 0; n < 60_000; n += 1) records.add(record({ outcome: 'cut', detail: `${n}` }));
  expect(records.lost).toBe(60_000);
  expect(records.losses).toHaveLength(50_000);
  expect(records.losses[7]?.detail).toBe('7');
});

test('the report counts by kind, release and reason', () => {
  const report = reportRequests(
    recordsOf(
      {},
      { release: 'r2', end: 1_010 },
      { kind: 'upload', outcome: 'reset', release: '' },
      { kind: 'upload', outcome: 'appError', status: 500, reused: false },
      { kind: 'stream', outcome: 'cut' },
      { kind: 'stream', outcome: 'cut' },
    ),
  );
  expect(report.byKind.busy).toMatchObject({ requests: 2, lost: 0, reused: 2, maxMs: 10 });
  expect(report.byKind.upload).toMatchObject({ requests: 2, appErrors: 1, lost: 1, p99Ms: null });
  expect(report.byRelease).toEqual({ r1: 1, r2: 1 });
  expect(report.lostByReason).toEqual({ reset: 1, cut: 2 });
});

test('a window has what was under way in it, and the rest is outside', () => {
  const records = recordsOf(
    { start: 0, end: 10 },
    { start: 95, end: 99.5 },
    { start: 90, end: 110 },
    { start: 150, end: 153, outcome: 'reset' },
    { start: 50, end: 900, kind: 'slow' },
    { start: 201, end: 209 },
  );
  const windows = [{ fromMs: 100, toMs: 200 }];
  expect(reportWindows(records, windows, 'inside')).toMatchObject({
    requests: 3,
    lost: 1,
    maxMs: 20,
  });
  expect(reportWindows(records, windows, 'outside')).toMatchObject({
    requests: 3,
    lost: 0,
    maxMs: 10,
  });
});

test('quantiles are those of the good answers, by nearest rank', () => {
  const rows = Array.from({ length: 200 }, (_, n) => record({ start: 0, end: 200 - n }));
  const lost = record({ start: 0, end: 9_000, outcome: 'timeout' });
  expect(latencyOf([...rows, lost])).toEqual({ p50Ms: 100, p99Ms: 198, maxMs: 200 });
  expect(latencyOf([])).toEqual({ p50Ms: null, p99Ms: null, maxMs: null });
});

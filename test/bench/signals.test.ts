import { expect, test } from 'vitest';
import { measureCase } from '../../bench/signals/signals.ts';

const session = { say: () => {}, signal: new AbortController().signal };

test('the reader is told of every request, and costs something', async () => {
  const row = await measureCase({ name: 'read', mode: 'read', rate: 400 }, 1, session);
  expect(row).toMatchObject({ failed: 0, lostLines: 0, oneOf: 1 });
  expect(row.requests).toBeGreaterThan(200);
  expect(row.readerUs).toBeGreaterThan(0);
  expect(row.readerShare).toBeGreaterThan(0);
});

test('without a reader nothing is said about it, and no request fails', async () => {
  const row = await measureCase({ name: 'hung', mode: 'hung', rate: 400 }, 1, session);
  expect(row).toMatchObject({ failed: 0, lostLines: null, readerUs: null });
});

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { inTransaction, openDatabase } from '../../agent/store/database.ts';
import { type SlotRecord, Slots } from '../../agent/store/slots.ts';

const FIRST = { release: 'r1-aaaaaaa', deployment: 1 };
const SECOND = { release: 'r1-aaaaaaa', deployment: 2 };
let dir: string;
let database: ReturnType<typeof openDatabase>;
let slots: Slots<string>;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'zdd-store-'));
  database = openDatabase(join(dir, 'agent.db'));
  slots = new Slots(database);
  slots.add([slot('web', 1), slot('web', 2)]);
});
afterEach(async () => {
  database.close();
  await rm(dir, { recursive: true });
});

test('slots that were asked for before are told as they are by now', () => {
  expect(namesOf(FIRST)).toEqual(['r1-d1-web-1', 'r1-d1-web-2']);
  expect(namesOf(SECOND)).toEqual([]);
  slots.add([slot('worker', 1)]);
  slots.add([{ ...slot('web', 1), generation: SECOND, name: 'r1-d2-web-1' }]);
  expect(namesOf(FIRST).toSorted()).toEqual(['r1-d1-web-1', 'r1-d1-web-2', 'r1-d1-worker-1']);
  expect(namesOf(SECOND)).toEqual(['r1-d2-web-1']);
  slots.add([{ ...slot('web', 2), spec: 'elsewhere' }]);
  expect(slots.of('shop', FIRST).find(({ index }) => index === 2)?.spec).toBe('elsewhere');
  slots.remove('shop', FIRST);
  expect(namesOf(FIRST)).toEqual([]);
  expect(namesOf(SECOND)).toEqual(['r1-d2-web-1']);
});

test('slots that go over to another generation, or out of theirs, are told of at once', () => {
  slots.add([slot('web', 1), slot('worker', 1)], [0, 2]);
  expect(namesOf(FIRST)).toEqual(['r1-d1-web-1', 'r1-d1-web-2', 'r1-d1-worker-1']);
  expect(namesOf(SECOND)).toEqual([]);
  slots.carry('shop', FIRST, SECOND, ['r1-d1-worker-1']);
  expect(namesOf(FIRST)).toEqual(['r1-d1-web-1', 'r1-d1-web-2']);
  expect(namesOf(SECOND)).toEqual(['r1-d1-worker-1']);
  slots.carry('shop', SECOND, FIRST, ['r1-d1-worker-1']);
  slots.drop('shop', FIRST, ['r1-d1-web-2']);
  expect(namesOf(FIRST)).toEqual(['r1-d1-web-1', 'r1-d1-worker-1']);
  expect(namesOf(SECOND)).toEqual([]);
});

test('slots that a transaction takes back stay', () => {
  expect(() =>
    inTransaction(database, () => {
      slots.remove('shop', FIRST);
      expect(namesOf(FIRST)).toEqual([]);
      throw new Error('taken back');
    }),
  ).toThrow('taken back');
  expect(namesOf(FIRST)).toEqual(['r1-d1-web-1', 'r1-d1-web-2']);
});

test('slots that a transaction has written are not remembered, it may take them back', () => {
  expect(() =>
    inTransaction(database, () => {
      database.exec('UPDATE slots SET spec = \'"elsewhere"\'');
      expect(slots.of('shop', FIRST)[0]?.spec).toBe('elsewhere');
      throw new Error('taken back');
    }),
  ).toThrow('taken back');
  expect(slots.of('shop', FIRST)[0]?.spec).toBe('here');
});

function slot(process: string, index: number): SlotRecord<string> {
  const name = `r1-d1-${process}-${index}`;
  const place = { app: 'shop', generation: FIRST, name, process, index };
  return { ...place, takesTraffic: process === 'web', overlap: true, spec: 'here' };
}

function namesOf(generation: typeof FIRST): string[] {
  return slots.of('shop', generation).map(({ name }) => name);
}

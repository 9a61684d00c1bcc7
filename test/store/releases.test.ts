import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { inTransaction, openDatabase } from '../../agent/store/database.ts';
import { Journal } from '../../agent/store/journal.ts';
import { Releases } from '../../agent/store/releases.ts';
import { deployed, requested } from '../core/worlds.ts';

let dir: string;
let releases: Releases;
let database: ReturnType<typeof openDatabase>;
const FIRST = {
  app: 'shop',
  release: 'r1-aaaaaaa',
  number: 1,
  digest: 'a'.repeat(64),
  bytes: 1,
  files: 1,
  createdAt: 1,
  source: 'here',
  config: 'app: shop',
};
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'zdd-store-'));
  database = openDatabase(join(dir, 'agent.db'));
  new Journal(database, () => 1).commit({
    event: requested(2),
    state: deployed(2),
    story: [],
    receipt: null,
    liveSince: 7,
  });
  releases = new Releases(database);
  releases.add(FIRST);
});
afterEach(async () => {
  database.close();
  await rm(dir, { recursive: true });
});

test('a release that was asked for before is told as it is by now', () => {
  const found = () => releases.find('shop', FIRST.release);
  expect(found()).toMatchObject({ verdict: 'unproven', config: 'app: shop' });
  releases.judge('shop', FIRST.release, 'good');
  expect(found()?.verdict).toBe('good');
  releases.reconfigure('shop', FIRST.release, 'app: shop\nkeep: 2');
  expect(found()?.config).toBe('app: shop\nkeep: 2');
  releases.add({ ...FIRST, bytes: 2 });
  expect(found()?.bytes).toBe(2);
  releases.remove('shop', FIRST.release);
  expect(found()).toBeNull();
});

test('what a transaction takes back was never there', () => {
  expect(() =>
    inTransaction(database, () => {
      releases.judge('shop', FIRST.release, 'good');
      expect(releases.find('shop', FIRST.release)?.verdict).toBe('good');
      throw new Error('taken back');
    }),
  ).toThrow('taken back');
  expect(releases.find('shop', FIRST.release)?.verdict).toBe('unproven');
});

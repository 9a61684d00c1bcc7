import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { step } from '../../agent/core/deployment.ts';
import { newApp } from '../../agent/core/model.ts';
import { inTransaction, openDatabase } from '../../agent/store/database.ts';
import { Journal } from '../../agent/store/journal.ts';
import { Releases } from '../../agent/store/releases.ts';
import { deployed, POLICY, requested, settle, stopRequested } from '../core/worlds.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'zdd-store-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

test('what was committed is there after the next start', () => {
  const path = join(dir, 'agent.db');
  const first = openDatabase(path);
  const state = deployed(2);
  const journal = new Journal(first, () => 1_000);
  journal.commit({ event: requested(2), state, story: [], receipt: null, liveSince: 7 });
  first.close();
  const again = new Journal(openDatabase(path), () => 2_000);
  expect(again.state('shop')).toEqual(state);
  expect(again.liveSince('shop')).toBe(7);
});

test('a database of a newer agent is refused and left as it is', () => {
  const path = join(dir, 'agent.db');
  const newer = openDatabase(path);
  newer.exec('PRAGMA user_version = 99');
  newer.close();
  expect(() => openDatabase(path)).toThrowError(
    expect.objectContaining({ code: 'ZDD_STORE_TOO_NEW' }),
  );
});

test('a transaction that fails leaves nothing', () => {
  const database = openDatabase(join(dir, 'agent.db'));
  expect(() =>
    inTransaction(database, () => {
      database.prepare("INSERT INTO apps (app, state) VALUES ('a', '{}')").run();
      throw new Error('no');
    }),
  ).toThrow('no');
  expect(new Journal(database, () => 0).apps()).toEqual([]);
});

test('numbers are never given twice, and events keep counting', () => {
  const database = openDatabase(join(dir, 'agent.db'));
  const journal = new Journal(database, () => 5);
  const releases = new Releases(database);
  expect([journal.nextDeployment('a'), journal.nextDeployment('a')]).toEqual([1, 2]);
  expect(releases.nextName('a', 'abcdef0123').release).toBe('r1-abcdef0');
  expect(releases.nextName('a', 'abcdef0123').release).toBe('r2-abcdef0');
  const heard: number[] = [];
  const stop = journal.subscribe(({ seq }) => heard.push(seq));
  const drift = { type: 'drift', app: 'a', deployment: null, what: 'x', repaired: true } as const;
  journal.tell(drift);
  journal.tell(drift);
  stop();
  journal.tell(drift);
  expect(heard).toEqual([1, 2]);
  expect(journal.lastSeq()).toBe(3);
  expect(journal.events({ since: 1, app: 'a' }).map(({ seq }) => seq)).toEqual([2, 3]);
  expect(journal.events({ since: 0, app: 'b' })).toEqual([]);
});

test('a good release stays good when it fails later', () => {
  const database = openDatabase(join(dir, 'agent.db'));
  const releases = new Releases(database);
  releases.add({
    app: 'a',
    release: 'r1-a',
    number: 1,
    digest: 'd',
    bytes: 1,
    files: 1,
    createdAt: 0,
    source: '',
    config: '',
  });
  releases.judge('a', 'r1-a', 'good');
  releases.judge('a', 'r1-a', 'bad');
  expect(releases.find('a', 'r1-a')?.verdict).toBe('good');
});

test('states that an earlier agent wrote are read with all that has come since', () => {
  const database = openDatabase(join(dir, 'agent.db'));
  const journal = new Journal(database, () => 5);
  // As 0.1.0 wrote them before there were restart, scale, stop and start.
  const policy = JSON.stringify(POLICY);
  const idle =
    '{"app":"idle","stable":{"release":"r1-a","deployment":1},"deployment":null,"retiring":[],"departures":1,"tidied":1}';
  const busy = `{"app":"busy","stable":{"release":"r1-a","deployment":1},"deployment":{"id":2,"kind":"deploy","artifact":"aa","owner":"me","source":"","startedAt":1,"policy":${policy},"phase":{"name":"starting","candidate":{"release":"r2-b","deployment":2}}},"retiring":[],"departures":1,"tidied":1}`;
  for (const [app, state] of [
    ['idle', idle],
    ['busy', busy],
  ] as const) {
    database.prepare('INSERT INTO apps (app, state) VALUES (?, ?)').run(app, state);
  }
  const stable = { release: 'r1-a', deployment: 1 };
  expect(journal.state('idle')).toEqual({
    ...newApp('idle'),
    stable,
    departures: 1,
    tidied: 1,
  });
  const found = journal.state('busy');
  expect(found).toMatchObject({ stable, stopped: null, scale: {}, deployment: { scale: {} } });
  const settled = settle(found);
  expect(settled).toMatchObject({
    stable: { release: 'r2-b', deployment: 2 },
    stopped: null,
    scale: {},
  });
  const stopping = step(settled, stopRequested(3), 7).state;
  expect(settle(stopping, 7).stopped).toEqual({
    release: 'r2-b',
    deployment: 3,
    owner: 'me@laptop',
    at: 7,
  });
});

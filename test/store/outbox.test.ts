import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Receipt } from '../../agent/protocol/events.ts';
import { openDatabase } from '../../agent/store/database.ts';
import { Journal } from '../../agent/store/journal.ts';
import { Outbox } from '../../agent/store/outbox.ts';

let dir: string;
let database: DatabaseSync;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'zdd-outbox-'));
  database = openDatabase(join(dir, 'agent.db'));
});
afterEach(async () => {
  database.close();
  await rm(dir, { recursive: true });
});

function end(app: string, deployment: number): void {
  const receipt: Receipt = {
    schemaVersion: 1,
    app,
    deployment,
    kind: 'deploy',
    release: 'r1-a',
    previous: null,
    outcome: 'succeeded',
    startedAt: 0,
    totalMs: 1,
    switchMs: null,
    requests: 0,
    lost: 0,
    appErrors: 0,
    steps: [],
    error: null,
  };
  new Journal(database, () => 5).tell({ type: 'deployment_ended', app, deployment, receipt });
}

function ends(...entries: readonly string[]) {
  return entries.map((entry) => ({ entry, about: null }));
}

test('whatever has ended is collected once, also by the daemon after the one that saw it', () => {
  end('a', 1);
  end('b', 7);
  // Nobody has collected: the daemon was killed. The next one has the same database.
  const outbox = new Outbox<string, string>(database, () => 10);
  outbox.collect(({ app, deployment }) => ends(`${app}${deployment}`, 'too'));
  expect(outbox.all().map(({ entry }) => entry)).toEqual(['a1', 'too', 'b7', 'too']);
  new Outbox<string, string>(database, () => 11).collect(() => ends('again'));
  expect(outbox.all()).toHaveLength(4);
  end('a', 2);
  new Outbox<string, string>(database, () => 12).collect(({ deployment }) => ends(`${deployment}`));
  expect(outbox.all().map(({ entry }) => entry)).toEqual(['a1', 'too', 'b7', 'too', '2']);
});

test('when what is asked for cannot be found out, nothing is skipped', () => {
  end('a', 1);
  const outbox = new Outbox<string, string>(database, () => 10);
  expect(() =>
    outbox.collect(() => {
      throw new Error('disk');
    }),
  ).toThrow('disk');
  outbox.collect(() => ends('x'));
  expect(outbox.all()).toMatchObject([{ app: 'a', deployment: 1, entry: 'x', attempts: 0 }]);
});

test('a message stays, with why and when again, until it is delivered', () => {
  const outbox = new Outbox<string, string>(database, () => 10);
  outbox.add({ app: 'a', deployment: 1 }, ['x']);
  const [{ id } = { id: 0 }] = outbox.all();
  outbox.failed(id, 'answered 503', 99);
  expect(new Outbox(database, () => 0).all()).toEqual([
    {
      ...{ id, app: 'a', deployment: 1, entry: 'x', about: null, createdAt: 10 },
      ...{ attempts: 1, nextAt: 99, error: 'answered 503' },
    },
  ]);
  outbox.remove(id);
  expect(outbox.all()).toEqual([]);
});

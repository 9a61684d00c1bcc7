import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Audit } from '../../agent/store/audit.ts';
import { inTransaction, openDatabase } from '../../agent/store/database.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'zdd-audit-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

const claimed = { owner: 'ann@laptop', cli: '0.1.0' };
const act = { app: 'shop', verb: 'rollback', details: {}, claimed };

describe('the audit', () => {
  it('gives an entry its ending once', () => {
    const audit = new Audit(openDatabase(join(dir, 'once.db')), () => 7);
    const seq = audit.begin(act);
    expect(audit.list({ since: 0, lines: 10 })).toMatchObject([{ seq, at: 7, outcome: null }]);
    audit.end(seq, { verified: null, deployment: 4, outcome: 'started' });
    audit.end(seq, { verified: null, deployment: 9, outcome: 'ZDD_LOCKED' });
    expect(audit.list({ since: 0, lines: 10 })).toMatchObject([
      { deployment: 4, outcome: 'started', claimed },
    ]);
  });

  it('keeps the newest ten thousand', () => {
    const database = openDatabase(join(dir, 'many.db'));
    const audit = new Audit(database, () => 1);
    inTransaction(database, () => {
      for (let count = 0; count < 10_050; count += 1) audit.begin(act);
    });
    expect(audit.list({ since: 0, lines: 10_000 }).at(0)?.seq).toBe(51);
    expect(database.prepare('SELECT count(*) AS n FROM audit').get()).toEqual({ n: 10_000 });
  });

  it('shows one app, since a time, as many as asked for, newest last', () => {
    let now = 0;
    const audit = new Audit(openDatabase(join(dir, 'filter.db')), () => now);
    for (now = 1; now <= 6; now += 1) audit.begin({ ...act, app: now % 2 === 0 ? 'shop' : 'blog' });
    const at = audit.list({ app: 'shop', since: 3, lines: 10 }).map((entry) => entry.at);
    expect(at).toEqual([4, 6]);
    expect(audit.list({ since: 0, lines: 2 }).map((entry) => entry.at)).toEqual([5, 6]);
  });
});

import type { DatabaseSync } from 'node:sqlite';
import type { AuditEntry, Claimed, Verified } from '../protocol/audit.ts';

/** Entries kept in all: years of a small team. */
const KEPT = 10_000;

/** What is known of an act before it is done. */
export interface NewAct {
  readonly app: string;
  readonly verb: string;
  readonly details: Readonly<Record<string, string>>;
  readonly claimed: Claimed;
}

/** How it ended. */
export interface Ending {
  readonly app?: string | undefined;
  readonly verified: Verified | null;
  readonly deployment: number | null;
  readonly outcome: string;
}

/** Who did what. Only ever added to: an entry gets its ending once, then it is never changed. */
export class Audit {
  readonly #database: DatabaseSync;
  readonly #now: () => number;

  constructor(database: DatabaseSync, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /** On disk when it returns, before the act is done: what is done is never missing here. */
  begin({ app, verb, details, claimed }: NewAct): number {
    const { lastInsertRowid } = this.#database
      .prepare('INSERT INTO audit (at, app, verb, details, claimed) VALUES (?, ?, ?, ?, ?)')
      .run(this.#now(), app, verb, JSON.stringify(details), JSON.stringify(claimed));
    this.#database.prepare('DELETE FROM audit WHERE seq <= ?').run(Number(lastInsertRowid) - KEPT);
    return Number(lastInsertRowid);
  }

  end(seq: number, { app, verified, deployment, outcome }: Ending): void {
    this.#database
      .prepare(
        `UPDATE audit SET app = coalesce(?2, app), verified = ?3, deployment = ?4, outcome = ?5
         WHERE seq = ?1 AND outcome IS NULL`,
      )
      .run(
        seq,
        app ?? null,
        verified === null ? null : JSON.stringify(verified),
        deployment,
        outcome,
      );
  }

  /** The last `lines` entries since `since` (ms since the epoch), newest last. */
  list(filter: { app?: string | undefined; since: number; lines: number }): AuditEntry[] {
    return this.#database
      .prepare(
        `SELECT audit.*, json_extract(receipts.body, '$.outcome') AS ended FROM audit
         LEFT JOIN receipts ON receipts.app = audit.app
           AND receipts.deployment = audit.deployment AND audit.outcome = 'started'
         WHERE (?1 IS NULL OR audit.app = ?1) AND at >= ?2 ORDER BY seq DESC LIMIT ?3`,
      )
      .all(filter.app ?? null, filter.since, filter.lines)
      .map(toEntry)
      .reverse();
  }
}

function toEntry(row: Record<string, unknown>): AuditEntry {
  const details: Record<string, string> = JSON.parse(String(row['details']));
  const claimed: Claimed = JSON.parse(String(row['claimed']));
  const verified: Verified | null = JSON.parse(String(row['verified'] ?? 'null'));
  const outcome = row['ended'] ?? row['outcome'];
  return {
    seq: Number(row['seq']),
    at: Number(row['at']),
    app: String(row['app']),
    verb: String(row['verb']),
    details,
    claimed,
    verified,
    deployment: row['deployment'] === null ? null : Number(row['deployment']),
    outcome: outcome === null ? null : String(outcome),
  };
}

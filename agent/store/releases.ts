import type { DatabaseSync } from 'node:sqlite';
import { inTransaction, Statements } from './database.ts';

/** A release as the host knows it. */
export interface ReleaseRecord {
  readonly app: string;
  readonly release: string;
  readonly number: number;
  /** Digest of the unpacked content, hex. */
  readonly digest: string;
  readonly bytes: number;
  readonly files: number;
  readonly createdAt: number;
  readonly source: string;
  /** The text of its zdd.yaml. */
  readonly config: string;
  /** `good`: it was stable once. `bad`: it failed and never was. */
  readonly verdict: 'unproven' | 'good' | 'bad';
}

/**
 * The releases of every app. Those that were asked for are remembered until they are changed, which is
 * done here alone: a look at the traffic of 200 apps asks for thousands.
 */
export class Releases {
  readonly #database: DatabaseSync;
  readonly #statements: Statements;
  readonly #known = new Map<string, ReleaseRecord>();

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#statements = new Statements(database);
  }

  find(app: string, release: string): ReleaseRecord | null {
    const known = this.#known.get(keyOf(app, release));
    if (known !== undefined) return known;
    const row = this.#statements
      .of('SELECT * FROM releases WHERE app = ? AND release = ?')
      .get(app, release);
    if (row === undefined) return null;
    const record = toRecord(row);
    // What a transaction has written may be taken back.
    if (!this.#database.isTransaction) this.#known.set(keyOf(app, release), record);
    return record;
  }

  findByDigest(app: string, digest: string): ReleaseRecord | null {
    const row = this.#database
      .prepare('SELECT * FROM releases WHERE app = ? AND digest = ?')
      .get(app, digest);
    return row === undefined ? null : toRecord(row);
  }

  /** Newest first. */
  list(app: string): ReleaseRecord[] {
    return this.#database
      .prepare('SELECT * FROM releases WHERE app = ? ORDER BY number DESC')
      .all(app)
      .map(toRecord);
  }

  /** Takes the next release number of an app and names the release by it: `r42-ab12cd3`. */
  nextName(app: string, digest: string): { release: string; number: number } {
    return inTransaction(this.#database, () => {
      const row = this.#database
        .prepare(
          'UPDATE apps SET next_release = next_release + 1 WHERE app = ? RETURNING next_release - 1 AS number',
        )
        .get(app);
      const number = Number(row?.['number']);
      return { number, release: `r${number}-${digest.slice(0, 7)}` };
    });
  }

  /** The number that the next new release of an app will get. Takes nothing. */
  comingNumber(app: string): number {
    const row = this.#database.prepare('SELECT next_release FROM apps WHERE app = ?').get(app);
    return Number(row?.['next_release'] ?? 1);
  }

  add(record: Omit<ReleaseRecord, 'verdict'>): void {
    this.#known.delete(keyOf(record.app, record.release));
    this.#database
      .prepare(
        `INSERT OR REPLACE INTO releases
         (app, release, number, digest, bytes, files, created_at, source, config)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        record.app,
        record.release,
        record.number,
        record.digest,
        record.bytes,
        record.files,
        record.createdAt,
        record.source,
        record.config,
      );
  }

  /** Good is for ever: a good release that fails once later is still a way back. */
  judge(app: string, release: string, verdict: 'good' | 'bad'): void {
    this.#known.delete(keyOf(app, release));
    this.#database
      .prepare(
        `UPDATE releases SET verdict = ?3
         WHERE app = ?1 AND release = ?2 AND (verdict <> 'good' OR ?3 = 'good')`,
      )
      .run(app, release, verdict);
  }

  /** Takes the text of its zdd.yaml over as it is now in force on this host. */
  reconfigure(app: string, release: string, config: string): void {
    this.#known.delete(keyOf(app, release));
    this.#database
      .prepare('UPDATE releases SET config = ? WHERE app = ? AND release = ?')
      .run(config, app, release);
  }

  remove(app: string, release: string): void {
    this.#known.delete(keyOf(app, release));
    this.#database.prepare('DELETE FROM releases WHERE app = ? AND release = ?').run(app, release);
  }
}

function keyOf(app: string, release: string): string {
  return `${app} ${release}`;
}

function toRecord(row: Record<string, unknown>): ReleaseRecord {
  const verdict = String(row['verdict']);
  return {
    app: String(row['app']),
    release: String(row['release']),
    number: Number(row['number']),
    digest: String(row['digest']),
    bytes: Number(row['bytes']),
    files: Number(row['files']),
    createdAt: Number(row['created_at']),
    source: String(row['source']),
    config: String(row['config']),
    verdict: verdict === 'good' || verdict === 'bad' ? verdict : 'unproven',
  };
}

import type { DatabaseSync } from 'node:sqlite';

/** An app that somebody has locked by hand. */
export interface Lock {
  readonly owner: string;
  /** Why; `''` when nobody said. */
  readonly message: string;
  readonly since: number;
  /** When it ends by itself, ms since the epoch; null: never. */
  readonly until: number | null;
}

/** The locks set by `zdd-agent lock`. They outlive the daemon and the host's reboots. */
export class Locks {
  readonly #database: DatabaseSync;
  readonly #now: () => number;

  constructor(database: DatabaseSync, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /** The lock of an app, unless its time is over. */
  find(app: string): Lock | null {
    const row = this.#database.prepare('SELECT * FROM locks WHERE app = ?').get(app);
    if (row === undefined) return null;
    const until = row['until'] === null ? null : Number(row['until']);
    if (until !== null && until <= this.#now()) return null;
    return {
      owner: String(row['owner']),
      message: String(row['message']),
      since: Number(row['since']),
      until,
    };
  }

  set(app: string, { owner, message, since, until }: Lock): void {
    this.#database
      .prepare(
        `INSERT OR REPLACE INTO locks (app, owner, message, since, until) VALUES (?, ?, ?, ?, ?)`,
      )
      .run(app, owner, message, since, until);
  }

  remove(app: string): void {
    this.#database.prepare('DELETE FROM locks WHERE app = ?').run(app);
  }
}

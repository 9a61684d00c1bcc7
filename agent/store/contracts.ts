import type { DatabaseSync } from 'node:sqlite';
import { inTransaction } from './database.ts';

/** A contract command that was run, or was begun. Releases before it may not come back. */
export interface ContractRun {
  readonly id: number;
  readonly app: string;
  readonly release: string;
  /** Of the release. */
  readonly number: number;
  readonly owner: string;
  readonly at: number;
  readonly outcome: 'running' | 'ok' | 'failed';
  /** Why it failed. */
  readonly detail: string;
}

/** Which releases have taken away what older ones need. Kept for as long as the app is. */
export class Contracts {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** On disk before the command begins. @returns its number, unique on this host for ever */
  begin(run: Pick<ContractRun, 'app' | 'release' | 'number' | 'owner' | 'at'>): number {
    const { app, release, number, owner, at } = run;
    return inTransaction(this.#database, () => {
      const { lastInsertRowid } = this.#database
        .prepare(
          `INSERT INTO contracts (app, release, number, owner, at, outcome, detail)
           VALUES (?, ?, ?, ?, ?, 'running', '')`,
        )
        .run(app, release, number, owner, at);
      return Number(lastInsertRowid);
    });
  }

  end(id: number, outcome: 'ok' | 'failed', detail: string): void {
    this.#database
      .prepare('UPDATE contracts SET outcome = ?, detail = ? WHERE id = ?')
      .run(outcome, detail, id);
  }

  /** Newest first. */
  list(app: string): ContractRun[] {
    return this.#database
      .prepare('SELECT * FROM contracts WHERE app = ? ORDER BY id DESC')
      .all(app)
      .map((row) => ({
        id: Number(row['id']),
        app: String(row['app']),
        release: String(row['release']),
        number: Number(row['number']),
        owner: String(row['owner']),
        at: Number(row['at']),
        outcome:
          row['outcome'] === 'ok' ? 'ok' : row['outcome'] === 'running' ? 'running' : 'failed',
        detail: String(row['detail']),
      }));
  }
}

import type { DatabaseSync } from 'node:sqlite';
import { errorBody } from '../protocol/error-body.ts';
import type { ErrorBody } from '../protocol/errors.ts';

/** Who the host is to an ACME server. */
export interface AcmeAccount {
  /** PEM: a secret, kept in the 0600 database. */
  readonly key: string;
  /** null: not registered yet. */
  readonly url: string | null;
}

/** The last try to have a certificate issued for a name, which failed. */
export interface FailedTry {
  readonly name: string;
  /** Failures since the last success. */
  readonly count: number;
  /** ms since the epoch */
  readonly at: number;
  readonly error: ErrorBody;
}

/** What is kept of ACME across restarts, beside the certificates. */
export class AcmeStore {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  account(directory: string): AcmeAccount | null {
    const row = this.#database
      .prepare('SELECT key, url FROM acme_accounts WHERE directory = ?')
      .get(directory);
    if (row === undefined) return null;
    return { key: String(row['key']), url: row['url'] === null ? null : String(row['url']) };
  }

  keepAccount(directory: string, { key, url }: AcmeAccount): void {
    this.#database
      .prepare('INSERT OR REPLACE INTO acme_accounts (directory, key, url) VALUES (?, ?, ?)')
      .run(directory, key, url);
  }

  failures(): readonly FailedTry[] {
    return this.#database
      .prepare('SELECT * FROM acme_failures ORDER BY name')
      .all()
      .map((row) => ({
        name: String(row['name']),
        count: Number(row['count']),
        at: Number(row['at']),
        error: errorBody.parse(JSON.parse(String(row['error']))),
      }));
  }

  keepFailure({ name, count, at, error }: FailedTry): void {
    this.#database
      .prepare('INSERT OR REPLACE INTO acme_failures (name, count, at, error) VALUES (?, ?, ?, ?)')
      .run(name, count, at, JSON.stringify(error));
  }

  forgetFailure(name: string): void {
    this.#database.prepare('DELETE FROM acme_failures WHERE name = ?').run(name);
  }
}

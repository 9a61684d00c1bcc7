import type { DatabaseSync } from 'node:sqlite';
import { Statements } from './database.ts';

/** How an app answers while it is in maintenance. */
export interface MaintenanceSettings {
  /** The HTML that visitors get; null: a plain one. */
  readonly page: string | null;
  /** Addresses and networks that reach the app all the same. */
  readonly allow: readonly string[];
  readonly retryAfterS: number;
  /** Why, for the team: it stands in `status`. */
  readonly message: string;
}

/** The maintenance of one app. What was said last is kept while it is off. */
export interface Maintenance extends MaintenanceSettings {
  readonly on: boolean;
  readonly owner: string;
  readonly since: number;
  /** When it ends by itself, ms since the epoch; null: never. */
  readonly until: number | null;
}

/** Which apps are in maintenance. It outlives the daemon, HAProxy and reboots. */
export class Maintenances {
  readonly #database: DatabaseSync;
  readonly #statements: Statements;
  readonly #now: () => number;

  constructor(database: DatabaseSync, now: () => number) {
    this.#database = database;
    this.#statements = new Statements(database);
    this.#now = now;
  }

  find(app: string): Maintenance | null {
    const row = this.#statements.of('SELECT * FROM maintenance WHERE app = ?').get(app);
    return row === undefined ? null : toMaintenance(row);
  }

  set(app: string, maintenance: Maintenance): void {
    const { on, owner, message, since, until, page, allow, retryAfterS } = maintenance;
    this.#database
      .prepare(
        `INSERT OR REPLACE INTO maintenance
         (app, is_on, owner, message, since, until, page, allow, retry_after_s)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(app, Number(on), owner, message, since, until, page, JSON.stringify(allow), retryAfterS);
  }

  remove(app: string): void {
    this.#database.prepare('DELETE FROM maintenance WHERE app = ?').run(app);
  }

  /** Apps whose maintenance is on although its time is over. */
  overdue(): string[] {
    return this.#database
      .prepare('SELECT app FROM maintenance WHERE is_on = 1 AND until <= ? ORDER BY app')
      .all(this.#now())
      .map((row) => String(row['app']));
  }
}

function toMaintenance(row: Record<string, unknown>): Maintenance {
  const allow: string[] = JSON.parse(String(row['allow']));
  return {
    on: row['is_on'] === 1,
    owner: String(row['owner']),
    message: String(row['message']),
    since: Number(row['since']),
    until: row['until'] === null ? null : Number(row['until']),
    page: row['page'] === null ? null : String(row['page']),
    allow,
    retryAfterS: Number(row['retry_after_s']),
  };
}

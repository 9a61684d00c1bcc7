import type { DatabaseSync } from 'node:sqlite';
import { inTransaction } from './database.ts';

/** A variable that the host keeps for an app. */
export interface Variable {
  readonly name: string;
  readonly value: string;
  /** When it was last changed, ms since the epoch, and by whom. */
  readonly changedAt: number;
  readonly changedBy: string;
}

/** What a change came to. */
export interface Changed {
  readonly set: readonly string[];
  readonly unchanged: readonly string[];
  readonly unset: readonly string[];
}

/** The variables of every app. They are secrets: nothing but the 0600 database holds them here. */
export class Environments {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** By name. */
  list(app: string): Variable[] {
    return this.#database
      .prepare('SELECT * FROM environment WHERE app = ? ORDER BY name')
      .all(app)
      .map((row) => ({
        name: String(row['name']),
        value: String(row['value']),
        changedAt: Number(row['changed_at']),
        changedBy: String(row['changed_by']),
      }));
  }

  /** Name to value. */
  values(app: string): Record<string, string> {
    return Object.fromEntries(this.list(app).map(({ name, value }) => [name, value]));
  }

  /**
   * Sets and removes in one transaction. What stays as it was keeps its time and owner.
   * @param check is given what would be kept then; what it throws leaves everything as it is
   */
  change(
    app: string,
    { set, unset }: { set: Readonly<Record<string, string>>; unset: readonly string[] },
    { at, by }: { at: number; by: string },
    check: (values: Readonly<Record<string, string>>) => void,
  ): Changed {
    return inTransaction(this.#database, () => {
      const before = new Map(Object.entries(this.values(app)));
      const isNew = ([name, value]: [string, string]): boolean => before.get(name) !== value;
      const fresh = Object.entries(set).filter(isNew);
      const gone = [...new Set(unset)].filter((name) => before.has(name));
      const after = new Map([...before, ...fresh]);
      for (const name of gone) after.delete(name);
      check(Object.fromEntries(after));
      for (const [name, value] of fresh) {
        this.#database
          .prepare(
            `INSERT OR REPLACE INTO environment (app, name, value, changed_at, changed_by)
             VALUES (?, ?, ?, ?, ?)`,
          )
          .run(app, name, value, at, by);
      }
      for (const name of gone) {
        this.#database.prepare('DELETE FROM environment WHERE app = ? AND name = ?').run(app, name);
      }
      const setNames = fresh.map(([name]) => name);
      const asked = new Set([...Object.keys(set), ...unset]);
      const unchanged = [...asked].filter(
        (name) => !setNames.includes(name) && !gone.includes(name),
      );
      return { set: setNames, unchanged, unset: gone };
    });
  }
}

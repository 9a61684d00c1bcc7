import type { DatabaseSync } from 'node:sqlite';

/** A file taken from the drop folder whose end has not been told yet. */
export interface Drop {
  readonly id: number;
  readonly app: string;
  /** Its name in the drop folder. */
  readonly name: string;
  /** The user whose file it is, as the kernel says. */
  readonly owner: string;
  /** The number its deployment has been given; null before that. */
  readonly deployment: number | null;
}

/** What has been taken from the drop folder, in the order of arrival. */
export class Drops {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** On disk when it returns. */
  add(app: string, name: string, owner: string): Drop {
    const { lastInsertRowid } = this.#database
      .prepare('INSERT INTO drops (app, name, owner) VALUES (?, ?, ?)')
      .run(app, name, owner);
    return { id: Number(lastInsertRowid), app, name, owner, deployment: null };
  }

  /**
   * Writes down which deployment is about to begin with it. Whether that began the journal knows,
   * so that after a crash a file is neither deployed twice nor forgotten.
   */
  numbered(id: number, deployment: number): void {
    this.#database.prepare('UPDATE drops SET deployment = ? WHERE id = ?').run(deployment, id);
  }

  remove(id: number): void {
    this.#database.prepare('DELETE FROM drops WHERE id = ?').run(id);
  }

  all(): Drop[] {
    return this.#database
      .prepare('SELECT * FROM drops ORDER BY id')
      .all()
      .map((row) => ({
        id: Number(row['id']),
        app: String(row['app']),
        name: String(row['name']),
        owner: String(row['owner']),
        deployment: row['deployment'] === null ? null : Number(row['deployment']),
      }));
  }
}

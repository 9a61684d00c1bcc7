import type { DatabaseSync } from 'node:sqlite';
import type { Generation } from '../core/model.ts';
import type { Slot } from '../core/plan.ts';
import { inTransaction, Statements } from './database.ts';

/** A slot with the place it was given. `spec` is whatever the runner needs to start it again. */
export interface SlotRecord<Spec> extends Slot {
  readonly app: string;
  readonly generation: Generation;
  readonly spec: Spec;
}

/**
 * The slots of every running generation. Written before an instance is started. Those that were asked
 * for are remembered until they are changed, which is done here alone: each look at the traffic asks for
 * those of every app.
 */
export class Slots<Spec> {
  readonly #database: DatabaseSync;
  readonly #statements: Statements;
  readonly #known = new Map<string, readonly SlotRecord<Spec>[]>();

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#statements = new Statements(database);
  }

  /**
   * Adds all of these at once, so that a generation never has only some.
   * @param positions where each stands among the slots of its generation; in this order unless given
   */
  add(
    records: readonly SlotRecord<Spec>[],
    positions: readonly number[] = records.map((_, index) => index),
  ): void {
    for (const { app, generation } of records) this.#known.delete(keyOf(app, generation));
    inTransaction(this.#database, () => {
      for (const [index, record] of records.entries()) {
        this.#database
          .prepare(
            `INSERT OR REPLACE INTO slots
             (app, name, release, deployment, process, position, takes_traffic, overlap, spec)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          )
          .run(
            record.app,
            record.name,
            record.generation.release,
            record.generation.deployment,
            record.process,
            positions[index] ?? index,
            Number(record.takesTraffic),
            Number(record.overlap),
            JSON.stringify(record.spec),
          );
      }
    });
  }

  of(app: string, generation: Generation): readonly SlotRecord<Spec>[] {
    const key = keyOf(app, generation);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const found = this.#statements
      .of('SELECT * FROM slots WHERE app = ? AND release = ? AND deployment = ? ORDER BY position')
      .all(app, generation.release, generation.deployment)
      .map((row) => this.#record(row));
    // What a transaction has written may be taken back.
    if (found.length > 0 && !this.#database.isTransaction) this.#known.set(key, found);
    return found;
  }

  /** Slots of all apps. */
  all(): SlotRecord<Spec>[] {
    return this.#database
      .prepare('SELECT * FROM slots ORDER BY app, deployment, position')
      .all()
      .map((row) => this.#record(row));
  }

  remove(app: string, generation: Generation): void {
    this.#known.delete(keyOf(app, generation));
    this.#database
      .prepare('DELETE FROM slots WHERE app = ? AND release = ? AND deployment = ?')
      .run(app, generation.release, generation.deployment);
  }

  /** Some slots of one generation are of another from now on; what runs in them runs on. */
  carry(app: string, from: Generation, to: Generation, names: readonly string[]): void {
    for (const generation of [from, to]) this.#known.delete(keyOf(app, generation));
    inTransaction(this.#database, () => {
      for (const name of names) {
        this.#statements
          .of('UPDATE slots SET release = ?, deployment = ? WHERE app = ? AND name = ?')
          .run(to.release, to.deployment, app, name);
      }
    });
  }

  /** Takes some slots out of their generation. */
  drop(app: string, generation: Generation, names: readonly string[]): void {
    this.#known.delete(keyOf(app, generation));
    inTransaction(this.#database, () => {
      for (const name of names) {
        this.#statements.of('DELETE FROM slots WHERE app = ? AND name = ?').run(app, name);
      }
    });
  }

  #record(row: Record<string, unknown>): SlotRecord<Spec> {
    const name = String(row['name']);
    const spec: Spec = JSON.parse(String(row['spec']));
    return {
      app: String(row['app']),
      name,
      generation: { release: String(row['release']), deployment: Number(row['deployment']) },
      process: String(row['process']),
      index: Number(name.slice(name.lastIndexOf('-') + 1)),
      takesTraffic: row['takes_traffic'] === 1,
      overlap: row['overlap'] === 1,
      spec,
    };
  }
}

function keyOf(app: string, { release, deployment }: Generation): string {
  return `${app} ${release} ${deployment}`;
}

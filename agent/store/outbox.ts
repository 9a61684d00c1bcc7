import { EventEmitter } from 'node:events';
import type { DatabaseSync } from 'node:sqlite';
import { inTransaction } from './database.ts';

/** The end of a deployment whose notifications have not been thought of yet. */
export interface EndedDeployment {
  readonly app: string;
  readonly deployment: number;
}

/** One message that has to go out. It refers to the receipt and holds no secret. */
export interface OutboxMessage<Entry> extends EndedDeployment {
  readonly id: number;
  /** The part of `notify` that asks for it, as it was when the deployment ended. */
  readonly entry: Entry;
  readonly createdAt: number;
  /** Tries that have failed. */
  readonly attempts: number;
  readonly nextAt: number;
  /** Why the last try failed. */
  readonly error: string | null;
}

/**
 * What is to be told to the world about deployments. It is made from the journal's own events, so
 * that whatever has ended is told although the daemon was killed in that moment; a message leaves
 * only when it has been delivered, so it may be delivered twice.
 */
export class Outbox<Entry> {
  readonly #database: DatabaseSync;
  readonly #now: () => number;
  readonly #news = new EventEmitter<{ added: [] }>();

  constructor(database: DatabaseSync, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /**
   * Takes in what has ended since the last time, in one transaction.
   * @param entriesFor what a deployment asks for
   */
  collect(entriesFor: (ended: EndedDeployment) => readonly Entry[]): void {
    inTransaction(this.#database, () => {
      const cursor = this.#database.prepare('SELECT seq FROM outbox_cursor').get();
      const rows = this.#database
        .prepare(
          `SELECT seq, app, deployment FROM events
           WHERE seq > ? AND json_extract(body, '$.type') = 'deployment_ended' ORDER BY seq`,
        )
        .all(Number(cursor?.['seq'] ?? 0));
      for (const row of rows) {
        const ended = { app: String(row['app']), deployment: Number(row['deployment']) };
        for (const entry of entriesFor(ended)) this.#insert(ended, entry);
        this.#database.prepare('UPDATE outbox_cursor SET seq = ?').run(Number(row['seq']));
      }
    });
  }

  /** Adds messages by hand. */
  add(ended: EndedDeployment, entries: readonly Entry[]): void {
    inTransaction(this.#database, () => {
      for (const entry of entries) this.#insert(ended, entry);
    });
    this.#news.emit('added');
  }

  /** Calls back when messages were added by hand. Returns the way to stop that. */
  onAdd(listener: () => void): () => void {
    this.#news.on('added', listener);
    return () => this.#news.off('added', listener);
  }

  /** Everything that has not been delivered, oldest first. */
  all(): OutboxMessage<Entry>[] {
    return this.#database
      .prepare('SELECT * FROM outbox ORDER BY id')
      .all()
      .map((row) => {
        const entry: Entry = JSON.parse(String(row['entry']));
        return {
          id: Number(row['id']),
          app: String(row['app']),
          deployment: Number(row['deployment']),
          entry,
          createdAt: Number(row['created_at']),
          attempts: Number(row['attempts']),
          nextAt: Number(row['next_at']),
          error: row['error'] === null ? null : String(row['error']),
        };
      });
  }

  failed(id: number, error: string, nextAt: number): void {
    this.#database
      .prepare('UPDATE outbox SET attempts = attempts + 1, error = ?, next_at = ? WHERE id = ?')
      .run(error, nextAt, id);
  }

  remove(id: number): void {
    this.#database.prepare('DELETE FROM outbox WHERE id = ?').run(id);
  }

  #insert({ app, deployment }: EndedDeployment, entry: Entry): void {
    const now = this.#now();
    this.#database
      .prepare(
        `INSERT INTO outbox (app, deployment, entry, created_at, next_at) VALUES (?, ?, ?, ?, ?)`,
      )
      .run(app, deployment, JSON.stringify(entry), now, now);
  }
}

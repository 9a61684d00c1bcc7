import { EventEmitter } from 'node:events';
import type { DatabaseSync } from 'node:sqlite';
import type { NewEvent, ZddEvent } from '../protocol/events.ts';
import { inTransaction } from './database.ts';

/** Which deployment a message is about. */
export interface Subject {
  readonly app: string;
  readonly deployment: number;
}

/** Who shall be told, and of what: null is the end of the deployment, which has its receipt. */
export interface Letter<Entry, About> {
  readonly entry: Entry;
  readonly about: About | null;
}

/** One message that has to go out. It refers to the receipt and holds no secret. */
export interface OutboxMessage<Entry, About> extends Subject, Letter<Entry, About> {
  readonly id: number;
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
export class Outbox<Entry, About> {
  readonly #database: DatabaseSync;
  readonly #now: () => number;
  readonly #news = new EventEmitter<{ added: [] }>();

  constructor(database: DatabaseSync, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /**
   * Takes in what has happened since the last time, in one transaction.
   * @param lettersFor what is to be told of an event, and to whom
   */
  collect(lettersFor: (event: ZddEvent) => ReadonlyArray<Letter<Entry, About>>): void {
    inTransaction(this.#database, () => {
      const cursor = this.#database.prepare('SELECT seq FROM outbox_cursor').get();
      const rows = this.#database
        .prepare(
          `SELECT seq, at, app, deployment, body FROM events
           WHERE seq > ? AND deployment IS NOT NULL AND
           json_extract(body, '$.type') IN ('deployment_ended', 'paused', 'judged') ORDER BY seq`,
        )
        .all(Number(cursor?.['seq'] ?? 0));
      for (const row of rows) {
        const subject = { app: String(row['app']), deployment: Number(row['deployment']) };
        const told: NewEvent = JSON.parse(String(row['body']));
        const event = { ...told, seq: Number(row['seq']), at: Number(row['at']) };
        for (const letter of lettersFor(event)) this.#insert(subject, letter);
        this.#database.prepare('UPDATE outbox_cursor SET seq = ?').run(Number(row['seq']));
      }
    });
  }

  /** Adds messages by hand, of the end of a deployment. */
  add(subject: Subject, entries: readonly Entry[]): void {
    inTransaction(this.#database, () => {
      for (const entry of entries) this.#insert(subject, { entry, about: null });
    });
    this.#news.emit('added');
  }

  /** Calls back when messages were added by hand. Returns the way to stop that. */
  onAdd(listener: () => void): () => void {
    this.#news.on('added', listener);
    return () => this.#news.off('added', listener);
  }

  /** Everything that has not been delivered, oldest first. */
  all(): OutboxMessage<Entry, About>[] {
    return this.#database
      .prepare('SELECT * FROM outbox ORDER BY id')
      .all()
      .map((row) => {
        const entry: Entry = JSON.parse(String(row['entry']));
        const aboutOf = (text: unknown): About | null =>
          typeof text === 'string' ? JSON.parse(text) : null;
        return {
          id: Number(row['id']),
          app: String(row['app']),
          deployment: Number(row['deployment']),
          entry,
          about: aboutOf(row['about']),
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

  #insert({ app, deployment }: Subject, { entry, about }: Letter<Entry, About>): void {
    const now = this.#now();
    this.#database
      .prepare(
        `INSERT INTO outbox (app, deployment, entry, about, created_at, next_at)
         VALUES (?, ?, ?, ?, ?, ?)`,
      )
      .run(
        app,
        deployment,
        JSON.stringify(entry),
        about === null ? null : JSON.stringify(about),
        now,
        now,
      );
  }
}

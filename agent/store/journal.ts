import { EventEmitter } from 'node:events';
import type { DatabaseSync } from 'node:sqlite';
import type { AppEvent, RequestId } from '../core/events.ts';
import { type AppState, completeState, newApp } from '../core/model.ts';
import { type NewEvent, outcome, type Receipt, type ZddEvent } from '../protocol/events.ts';
import { inTransaction, Statements } from './database.ts';

/** Entries kept per app; older ones have nothing left to recover. */
const KEPT_ENTRIES = 500;
/** Events kept in all. */
const KEPT_EVENTS = 20_000;

/** One step of one app, written before its effects are performed. */
export interface Entry {
  readonly event: AppEvent;
  readonly state: AppState;
  /** The story of this step, for `events`, log and receipt. */
  readonly story: readonly NewEvent[];
  /** Present in the step that ends a deployment. */
  readonly receipt: Receipt | null;
  /** When the release that serves began to serve; null leaves it as it is. */
  readonly liveSince: number | null;
}

/** What was done for a request of a client. */
export interface Asked {
  readonly app: string;
  readonly event: Extract<AppEvent, { type: 'requested' | 'told' }>;
  /** The newest event before it. */
  readonly since: number;
}

/** What a subscriber wants to see. */
export interface EventFilter {
  readonly app?: string | undefined;
  readonly deployment?: number | undefined;
  readonly since: number;
}

/** Where every app stands, and how it came there. The only truth the daemon starts from. */
export class Journal {
  readonly #database: DatabaseSync;
  readonly #statements: Statements;
  readonly #now: () => number;
  readonly #news = new EventEmitter<{ event: [ZddEvent] }>();

  constructor(database: DatabaseSync, now: () => number) {
    this.#database = database;
    this.#statements = new Statements(database);
    this.#now = now;
    this.#news.setMaxListeners(0);
  }

  apps(): string[] {
    return this.#statements
      .of('SELECT app FROM apps ORDER BY app')
      .all()
      .map((row) => String(row['app']));
  }

  /** The state of an app; that of a new one if the host does not know it. */
  state(app: string): AppState {
    const row = this.#statements.of('SELECT state FROM apps WHERE app = ?').get(app);
    if (row === undefined) return newApp(app);
    const stored: AppState = JSON.parse(String(row['state']));
    return completeState(stored);
  }

  knows(app: string): boolean {
    return this.#database.prepare('SELECT 1 FROM apps WHERE app = ?').get(app) !== undefined;
  }

  liveSince(app: string): number | null {
    const row = this.#database.prepare('SELECT live_since FROM apps WHERE app = ?').get(app);
    const since = row?.['live_since'];
    return since === null || since === undefined ? null : Number(since);
  }

  /** Takes the next deployment number of an app; a number is never given twice. */
  nextDeployment(app: string): number {
    return inTransaction(this.#database, () => {
      this.#database
        .prepare('INSERT INTO apps (app, state) VALUES (?, ?) ON CONFLICT DO NOTHING')
        .run(app, JSON.stringify(newApp(app)));
      const row = this.#database
        .prepare(
          'UPDATE apps SET next_deployment = next_deployment + 1 WHERE app = ? RETURNING next_deployment - 1 AS id',
        )
        .get(app);
      return Number(row?.['id']);
    });
  }

  /** The number that the next deployment of an app will get. Takes nothing. */
  comingDeployment(app: string): number {
    const row = this.#database.prepare('SELECT next_deployment FROM apps WHERE app = ?').get(app);
    return Number(row?.['next_deployment'] ?? 1);
  }

  /** Writes one step, on disk when it returns, then tells the subscribers. */
  commit({ event, state, story, receipt, liveSince }: Entry): void {
    const at = this.#now();
    const stamped = inTransaction(this.#database, () => {
      this.#database
        .prepare(
          `INSERT INTO apps (app, state, live_since) VALUES (?1, ?2, ?3)
           ON CONFLICT DO UPDATE SET state = ?2, live_since = coalesce(?3, live_since)`,
        )
        .run(state.app, JSON.stringify(state), liveSince);
      this.#database
        .prepare('INSERT INTO journal (app, at, event, state) VALUES (?, ?, ?, ?)')
        .run(state.app, at, JSON.stringify(event), JSON.stringify(state));
      if (receipt !== null) {
        this.#database
          .prepare('INSERT OR REPLACE INTO receipts (app, deployment, body) VALUES (?, ?, ?)')
          .run(receipt.app, receipt.deployment, JSON.stringify(receipt));
      }
      return story.map((told) => this.#insert(told, at));
    });
    for (const told of stamped) this.#news.emit('event', told);
  }

  /** Adds to the story without moving the app on: progress, drift, an instance that crashed. */
  tell(told: NewEvent): void {
    const stamped = inTransaction(this.#database, () => this.#insert(told, this.#now()));
    this.#news.emit('event', stamped);
  }

  #insert(told: NewEvent, at: number): ZddEvent {
    const { lastInsertRowid } = this.#database
      .prepare('INSERT INTO events (at, app, deployment, body) VALUES (?, ?, ?, ?)')
      .run(at, told.app, told.deployment, JSON.stringify(told));
    return { ...told, seq: Number(lastInsertRowid), at };
  }

  /** The number of the newest event. */
  lastSeq(): number {
    const row = this.#database
      .prepare("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
      .get();
    return Number(row?.['seq'] ?? 0);
  }

  /** The step that was done for this request; null when there is none, or not any more. */
  requested(request: RequestId): Asked | null {
    const row = this.#database
      .prepare(
        `SELECT app, event, (SELECT max(seq) FROM events WHERE at < journal.at) AS since
         FROM journal WHERE json_extract(event, '$.request') = ?`,
      )
      .get(request);
    if (row === undefined) return null;
    return {
      app: String(row['app']),
      event: JSON.parse(String(row['event'])),
      since: Number(row['since'] ?? 0),
    };
  }

  /** Past events after `since`, oldest first. */
  events({ app, deployment, since }: EventFilter): ZddEvent[] {
    return this.#database
      .prepare(
        `SELECT seq, at, body FROM events
         WHERE seq > ?1 AND (?2 IS NULL OR app = ?2) AND (?3 IS NULL OR deployment = ?3)
         ORDER BY seq`,
      )
      .all(since, app ?? null, deployment ?? null)
      .map((row) => {
        const told: NewEvent = JSON.parse(String(row['body']));
        return { ...told, seq: Number(row['seq']), at: Number(row['at']) };
      });
  }

  /** Calls back for each event from now on. Returns the way to stop that. */
  subscribe(listener: (event: ZddEvent) => void): () => void {
    this.#news.on('event', listener);
    return () => this.#news.off('event', listener);
  }

  /** Of the deployment of an app that ended last; null when none has. */
  lastReceipt(app: string): Receipt | null {
    const row = this.#database
      .prepare('SELECT body FROM receipts WHERE app = ? ORDER BY deployment DESC LIMIT 1')
      .get(app);
    if (row === undefined) return null;
    const receipt: Receipt = JSON.parse(String(row['body']));
    return receipt;
  }

  /** How the deployments of all apps have ended, and what they have lost: all there have been. */
  outcomes(): { app: string; outcome: Receipt['outcome']; count: number; lost: number }[] {
    return this.#database
      .prepare(
        `SELECT app, json_extract(body, '$.outcome') AS outcome, count(*) AS n,
           sum(json_extract(body, '$.lost')) AS lost
         FROM receipts GROUP BY app, outcome`,
      )
      .all()
      .map((row) => ({
        app: String(row['app']),
        outcome: outcome.parse(row['outcome']),
        count: Number(row['n']),
        lost: Number(row['lost']),
      }));
  }

  receipt(app: string, deployment: number): Receipt | null {
    const row = this.#database
      .prepare('SELECT body FROM receipts WHERE app = ? AND deployment = ?')
      .get(app, deployment);
    if (row === undefined) return null;
    const receipt: Receipt = JSON.parse(String(row['body']));
    return receipt;
  }

  /** The last deployment number given for an app; 0 before the first. */
  lastDeployment(app: string): number {
    const row = this.#database
      .prepare('SELECT next_deployment - 1 AS id FROM apps WHERE app = ?')
      .get(app);
    return Number(row?.['id'] ?? 0);
  }

  /** Deletes what is too old to matter, so that the file stays small for years. */
  trim(app: string): void {
    this.#database
      .prepare(
        `DELETE FROM journal WHERE app = ?1 AND seq <=
         (SELECT seq FROM journal WHERE app = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)`,
      )
      .run(app, KEPT_ENTRIES);
    this.#database
      .prepare('DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - ?')
      .run(KEPT_EVENTS);
  }
}

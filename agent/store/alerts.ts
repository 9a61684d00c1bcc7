import type { DatabaseSync } from 'node:sqlite';
import type { Alert } from '../protocol/alerts.ts';
import { inTransaction } from './database.ts';

/** Alerts that nobody has called off are forgotten after this, ms: their rule may be gone. */
const KEPT_MS = 7 * 86_400_000;

/** Alerts that fire, by their fingerprints, as Alertmanager has told last. */
export class Alerts {
  readonly #database: DatabaseSync;
  readonly #now: () => number;

  constructor(database: DatabaseSync, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /** Takes over what a message says. The same alert told again changes nothing. */
  take(alerts: readonly Alert[]): void {
    inTransaction(this.#database, () => {
      for (const { fingerprint, status, ...alert } of alerts) {
        if (status === 'resolved') {
          this.#database.prepare('DELETE FROM alerts WHERE fingerprint = ?').run(fingerprint);
          continue;
        }
        this.#database
          .prepare('INSERT OR REPLACE INTO alerts (fingerprint, at, body) VALUES (?, ?, ?)')
          .run(fingerprint, this.#now(), JSON.stringify(alert));
      }
      this.#database.prepare('DELETE FROM alerts WHERE at < ?').run(this.#now() - KEPT_MS);
    });
  }

  firing(): Array<Omit<Alert, 'status'>> {
    return this.#database
      .prepare('SELECT fingerprint, body FROM alerts ORDER BY at')
      .all()
      .map((row) => {
        const alert: Omit<Alert, 'status' | 'fingerprint'> = JSON.parse(String(row['body']));
        return { ...alert, fingerprint: String(row['fingerprint']) };
      });
  }
}

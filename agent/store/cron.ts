import type { DatabaseSync } from 'node:sqlite';
import { inTransaction, Statements } from './database.ts';

/** Runs kept of each job. */
const KEPT_RUNS = 50;

export type CronRunOutcome = 'running' | 'ok' | 'failed' | 'missed';

/** One time at which a job was due, and what became of it. */
export interface CronRun {
  readonly app: string;
  readonly job: string;
  /** ms since the epoch. With app and job it names the run: it is begun once. */
  readonly dueAt: number;
  readonly release: string;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly outcome: CronRunOutcome;
  /** Why it failed or was missed. */
  readonly detail: string;
}

/** Since when jobs are scheduled as they are, and what became of their runs. */
export class CronRuns {
  readonly #database: DatabaseSync;
  readonly #statements: Statements;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#statements = new Statements(database);
  }

  /**
   * Writes down which jobs of an app there are from now on.
   * @param jobs name to schedule, as text
   * @returns since when each is scheduled so
   */
  bind(app: string, jobs: ReadonlyMap<string, string>, now: number): ReadonlyMap<string, number> {
    return inTransaction(this.#database, () => {
      const known = new Map(
        this.#statements
          .of('SELECT job, schedule, since FROM cron_jobs WHERE app = ?')
          .all(app)
          .map((row) => [String(row['job']), row]),
      );
      for (const job of known.keys()) {
        if (!jobs.has(job)) {
          this.#statements.of('DELETE FROM cron_jobs WHERE app = ? AND job = ?').run(app, job);
        }
      }
      const since = new Map<string, number>();
      for (const [job, schedule] of jobs) {
        const row = known.get(job);
        const isSame = row !== undefined && row['schedule'] === schedule;
        since.set(job, isSame ? Number(row['since']) : now);
        if (isSame) continue;
        this.#statements
          .of('INSERT OR REPLACE INTO cron_jobs (app, job, schedule, since) VALUES (?, ?, ?, ?)')
          .run(app, job, schedule, now);
      }
      return since;
    });
  }

  /** The newest run of a job. */
  last(app: string, job: string): CronRun | null {
    const row = this.#statements
      .of('SELECT * FROM cron_runs WHERE app = ? AND job = ? ORDER BY due_at DESC LIMIT 1')
      .get(app, job);
    return row === undefined ? null : read(row);
  }

  /** The run before this one that is over. */
  before({ app, job, dueAt }: Pick<CronRun, 'app' | 'job' | 'dueAt'>): CronRun | null {
    const row = this.#statements
      .of(
        `SELECT * FROM cron_runs WHERE app = ? AND job = ? AND due_at < ? AND outcome <> 'running'
         ORDER BY due_at DESC LIMIT 1`,
      )
      .get(app, job, dueAt);
    return row === undefined ? null : read(row);
  }

  /** Runs that have no end yet. */
  running(): CronRun[] {
    return this.#statements
      .of("SELECT * FROM cron_runs WHERE outcome = 'running' ORDER BY due_at")
      .all()
      .map(read);
  }

  /** On disk before the run begins. @returns false when this time has had its run */
  begin(run: CronRun): boolean {
    const { app, job, dueAt, release, startedAt, endedAt, outcome, detail } = run;
    return inTransaction(this.#database, () => {
      const { changes } = this.#statements
        .of(
          `INSERT INTO cron_runs (app, job, due_at, release, started_at, ended_at, outcome, detail)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
        )
        .run(app, job, dueAt, release, startedAt, endedAt, outcome, detail);
      this.#statements
        .of(
          `DELETE FROM cron_runs WHERE app = ?1 AND job = ?2 AND due_at <=
           (SELECT due_at FROM cron_runs WHERE app = ?1 AND job = ?2
            ORDER BY due_at DESC LIMIT 1 OFFSET ?3)`,
        )
        .run(app, job, KEPT_RUNS);
      return changes > 0;
    });
  }

  end({ app, job, dueAt, endedAt, outcome, detail }: CronRun): void {
    this.#statements
      .of(
        `UPDATE cron_runs SET ended_at = ?, outcome = ?, detail = ?
         WHERE app = ? AND job = ? AND due_at = ?`,
      )
      .run(endedAt, outcome, detail, app, job, dueAt);
  }
}

const OUTCOMES: readonly CronRunOutcome[] = ['running', 'ok', 'failed', 'missed'];

function read(row: Record<string, unknown>): CronRun {
  const numberOrNull = (value: unknown): number | null => (value === null ? null : Number(value));
  return {
    app: String(row['app']),
    job: String(row['job']),
    dueAt: Number(row['due_at']),
    release: String(row['release']),
    startedAt: numberOrNull(row['started_at']),
    endedAt: numberOrNull(row['ended_at']),
    outcome: OUTCOMES.find((known) => known === row['outcome']) ?? 'failed',
    detail: String(row['detail']),
  };
}

import type { Generation } from '../../core/model.ts';
import { type CronJob, lastDue, nextRun } from '../../protocol/cron.ts';
import { ZddError } from '../../protocol/errors.ts';
import type { TimedJob, TimedRun, Timers } from '../../runner/runner.ts';
import type { CronRun } from '../../store/cron.ts';
import { configOf, type Host } from '../host.ts';
import { prepareApp } from '../instances.ts';
import { pause } from '../pause.ts';
import { failureOf, timedJob } from './job.ts';

/** Looked at least so often: clocks jump, and environments change. */
const LOOK_EVERY_MS = 15_000;
/** What could not begin by then has been missed, ms after it was due. */
const LATE_MS = 60_000;
/** A run is taken for the time it was due at, though it began a little before or after, ms. */
const EARLY_MS = 2_000;

interface BoundJob {
  readonly app: string;
  readonly name: string;
  readonly job: CronJob;
  readonly stable: Generation;
  /** Since when it is scheduled as it is, ms. */
  readonly since: number;
}

/**
 * Runs the jobs of `cron` in the release that serves, and in no other: systemd's timers do where
 * instances are its units, else the agent itself. What failed or was missed is told.
 * @param now by the clock on the wall, which schedules are about
 */
export async function keepSchedules(
  host: Host,
  signal: AbortSignal,
  now: () => number = Date.now,
): Promise<void> {
  const schedules = new Schedules(host, signal, now);
  await schedules.run();
}

class Schedules {
  readonly #host: Host;
  readonly #signal: AbortSignal;
  readonly #now: () => number;
  /** App to what its timers were told last. */
  readonly #told = new Map<string, string>();
  readonly #underWay = new Map<string, Promise<void>>();
  #wake = new AbortController();

  constructor(host: Host, signal: AbortSignal, now: () => number) {
    this.#host = host;
    this.#signal = signal;
    this.#now = now;
  }

  async run(): Promise<void> {
    this.#endCutRuns();
    const unsubscribe = this.#host.journal.subscribe(({ type }) => {
      if (type === 'deployment_ended' || type === 'environment_changed') this.#wake.abort();
    });
    try {
      while (!this.#signal.aborted) {
        this.#wake = new AbortController();
        const waitMs = await this.#look();
        const woken = AbortSignal.any([this.#signal, this.#wake.signal]);
        await pause(waitMs, woken).catch(() => undefined);
      }
    } finally {
      unsubscribe();
      await Promise.allSettled(this.#underWay.values());
    }
  }

  /** A run whose end nobody saw: it was the agent's child and went with it. */
  #endCutRuns(): void {
    if (this.#host.runner.timers !== null) return;
    for (const run of this.#host.cron.running()) {
      this.#end(run, 'failed', 'the agent was stopped while it ran');
    }
  }

  /** @returns when to look again, in ms */
  async #look(): Promise<number> {
    let next = LOOK_EVERY_MS;
    for (const app of this.#host.journal.apps()) {
      try {
        for (const bound of await this.#bind(app)) {
          if (this.#host.runner.timers === null) this.#runDue(bound);
          else await this.#observe(bound, this.#host.runner.timers);
          const at = nextRun(bound.job, this.#now());
          if (at !== null) next = Math.min(next, Math.max(0, at - this.#now()));
        }
      } catch (error) {
        if (this.#signal.aborted) return 0;
        this.#host.log.error({ app, err: error }, 'the jobs of an app cannot be looked at');
      }
    }
    return next + 1;
  }

  /** Makes the timers of an app those of the release that serves. */
  async #bind(app: string): Promise<BoundJob[]> {
    const { runner, cron, journal } = this.#host;
    const { stable } = journal.state(app);
    const config = stable === null ? null : configOf(this.#host, app, stable);
    const jobs = stable === null || config === null ? [] : Object.entries(config.cron);
    if (runner.timers !== null && stable !== null && config !== null) {
      const timed = jobs.map(([name, job]) => timedJob(this.#host, app, stable, name, job));
      await this.#tell(app, timed, async (timers) => {
        await prepareApp(this.#host, app, config, this.#signal);
        await timers.set(app, timed, this.#signal);
      });
    } else if (runner.timers !== null) {
      await this.#tell(app, [], (timers) => timers.set(app, [], this.#signal));
    }
    const texts = jobs.map(([name, { schedule, zone }]) => [name, `${schedule} ${zone}`] as const);
    const since = cron.bind(app, new Map(texts), this.#now());
    return jobs.flatMap(([name, job]) =>
      stable === null ? [] : [{ app, name, job, stable, since: since.get(name) ?? this.#now() }],
    );
  }

  async #tell(
    app: string,
    timed: readonly TimedJob[],
    tell: (timers: Timers) => Promise<void>,
  ): Promise<void> {
    const { timers } = this.#host.runner;
    const key = JSON.stringify(timed);
    if (timers === null || this.#told.get(app) === key) return;
    // What is under way may prepare the app for other needs; its end comes back here.
    if (this.#host.journal.state(app).deployment !== null) return;
    // An app that never had a job needs no timers to be taken away.
    if (timed.length > 0 || this.#told.has(app) || (await timers.any(app))) await tell(timers);
    this.#told.set(app, key);
  }

  /** Where the agent is the clock: begins what is due, once. */
  #runDue(bound: BoundJob): void {
    const { app, name, job, since, stable } = bound;
    const { cron } = this.#host;
    const now = this.#now();
    const last = cron.last(app, name);
    const due = lastDue(job, Math.max(since, last?.dueAt ?? 0), now);
    if (due === null) return;
    const run: CronRun = {
      app,
      job: name,
      dueAt: due.at,
      release: stable.release,
      startedAt: now,
      endedAt: null,
      outcome: 'running',
      detail: '',
    };
    if (this.#underWay.has(`${app} ${name}`)) {
      this.#miss({ ...run, startedAt: null }, 'the run before is not over');
      return;
    }
    if (now - due.at > LATE_MS) {
      const more = due.count === 1 ? '' : `, ${due.count} times`;
      this.#miss({ ...run, startedAt: null }, `the agent did not run${more}`);
      return;
    }
    if (due.count > 1) {
      const before = lastDue(job, Math.max(since, last?.dueAt ?? 0), due.at - 1);
      const times = due.count === 2 ? '' : `, ${due.count - 1} times`;
      const missed = { ...run, dueAt: before?.at ?? due.at, startedAt: null };
      if (before !== null) this.#miss(missed, `the agent did not run${times}`);
    }
    if (!cron.begin(run)) return;
    const ran = this.#runOnce(bound, run).finally(() => this.#underWay.delete(`${app} ${name}`));
    this.#underWay.set(`${app} ${name}`, ran);
  }

  async #runOnce({ app, name, job, stable }: BoundJob, run: CronRun): Promise<void> {
    const number = stable.release.split('-')[0];
    try {
      const seconds = Math.round(run.dueAt / 1_000);
      const result = await this.#host.runner.runOnce(
        {
          ...timedJob(this.#host, app, stable, name, job),
          name: `${app}.${number}-d${stable.deployment}-cron-${name}-${seconds}`,
        },
        this.#signal,
      );
      this.#signal.throwIfAborted();
      const failure = failureOf(result, job);
      this.#end(run, failure === null ? 'ok' : 'failed', failure ?? '');
    } catch (error) {
      // Ended by the next start, which knows that it was cut.
      if (this.#signal.aborted) return;
      this.#end(run, 'failed', error instanceof ZddError ? error.message : String(error));
    }
  }

  /** Where systemd is the clock: writes down what it did. */
  async #observe({ app, name, job, since, stable }: BoundJob, timers: Timers): Promise<void> {
    const seen = await timers.last(app, name, this.#signal);
    const now = this.#now();
    const blank = { app, job: name, release: stable.release, startedAt: null, endedAt: null };
    if (seen !== null && seen.startedAt >= since - EARLY_MS) this.#note(blank, job, since, seen);
    const due = lastDue(
      job,
      Math.max(since, this.#host.cron.last(app, name)?.dueAt ?? 0),
      now - LATE_MS,
    );
    if (due === null) return;
    const missed: CronRun = { ...blank, dueAt: due.at, outcome: 'missed', detail: '' };
    const reason =
      seen?.outcome === 'running' ? 'the run before is not over' : 'its timer did not run it';
    this.#miss(missed, reason);
  }

  #note(
    blank: Pick<CronRun, 'app' | 'job' | 'release' | 'startedAt' | 'endedAt'>,
    job: CronJob,
    since: number,
    seen: TimedRun,
  ): void {
    const due = lastDue(job, since, seen.startedAt + EARLY_MS);
    if (due === null) return;
    const run: CronRun = {
      ...blank,
      dueAt: due.at,
      startedAt: seen.startedAt,
      outcome: 'running',
      detail: '',
    };
    if (this.#host.cron.begin(run)) this.#endUnseen(run);
    const known = this.#host.cron.last(run.app, run.job);
    if (seen.outcome === 'running' || known?.dueAt !== due.at || known.outcome !== 'running')
      return;
    this.#end({ ...run, endedAt: seen.endedAt }, seen.outcome, seen.detail);
  }

  /** Runs of before it: of two that are due, systemd begins the second when the first is over. */
  #endUnseen({ app, job, dueAt }: CronRun): void {
    for (const run of this.#host.cron.running()) {
      if (run.app !== app || run.job !== job || run.dueAt >= dueAt) continue;
      this.#end(run, 'failed', 'the agent was not there to see how it ended');
    }
  }

  #miss(run: CronRun, detail: string): void {
    const before = this.#host.cron.last(run.app, run.job);
    const missed: CronRun = { ...run, outcome: 'missed', detail };
    if (this.#host.cron.begin(missed)) this.#say(missed, before, 'missed');
  }

  #end(run: CronRun, outcome: 'ok' | 'failed', detail: string): void {
    const ended: CronRun = { ...run, endedAt: run.endedAt ?? this.#now(), outcome, detail };
    const before = this.#host.cron.before(run);
    this.#host.cron.end(ended);
    this.#say(ended, before, outcome);
  }

  /** A run that went well is worth a word only after one that did not. */
  #say(run: CronRun, before: CronRun | null, outcome: 'ok' | 'failed' | 'missed'): void {
    const { app, job, release, dueAt, startedAt, endedAt, detail } = run;
    if (outcome === 'ok' && (before === null || before.outcome === 'ok')) return;
    const ms = startedAt === null || endedAt === null ? null : endedAt - startedAt;
    this.#host.journal.tell({
      type: 'cron',
      app,
      deployment: null,
      ...{ job, release, outcome, dueAt, ms, detail },
    });
  }
}

import type { Generation } from '../../core/model.ts';
import { type CronJob, calendarsOf } from '../../protocol/cron.ts';
import { formatDuration } from '../../protocol/duration.ts';
import type { OnceResult, TimedJob } from '../../runner/runner.ts';
import { environmentOf } from '../environment.ts';
import { configOf, type Host } from '../host.ts';

/** One job as a runner is told of it: in this release, with the environment of now. */
export function timedJob(
  host: Host,
  app: string,
  stable: Generation,
  name: string,
  job: CronJob,
): TimedJob {
  const { run: command, timeout: timeoutMs } = job;
  const config = configOf(host, app, stable);
  return {
    app,
    job: name,
    release: stable.release,
    command,
    cwd: host.layout.release(app, stable.release),
    env: { ...environmentOf(host, app, stable, config, job), ZDD_JOB: name },
    timeoutMs,
    calendars: calendarsOf(job),
  };
}

/** What is wrong with a run; null when nothing is. */
export function failureOf({ exit, timedOut }: OnceResult, { timeout }: CronJob): string | null {
  if (timedOut) return `ran longer than ${formatDuration(timeout)}`;
  if (exit.code === 0) return null;
  return exit.code === null
    ? `was ended by ${exit.signal ?? 'a signal'}`
    : `exited with ${exit.code}`;
}

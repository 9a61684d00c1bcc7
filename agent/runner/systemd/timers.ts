import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ZddError } from '../../protocol/errors.ts';
import type { Exit, TimedJob, TimedRun, Timers } from '../runner.ts';
import { systemctl } from './bus.ts';
import { isMissing, keepWritten, readIfThere, syncFolder } from './durable-file.ts';
import type { Surroundings } from './instance.ts';
import { jobScript } from './slot-scripts.ts';
import { cronServiceOf, cronTimerOf } from './unit-names.ts';
import { monotonicUs } from './unit-state.ts';

/** What timeout(1) exits with when it has ended its command. */
const TIMED_OUT = 124;

/**
 * Jobs as timers of systemd, which run them without the daemon too. A job has one unit, whatever the
 * release: its start script says which, so that a promotion is one rename, and no job runs twice.
 * Root has written the times, asked by `prepare`.
 */
export function createTimers(around: Surroundings): Timers {
  const { stateDir, active, watch } = around;
  return {
    async set(app, jobs, signal) {
      const wanted = new Set(jobs.map(({ job }) => job));
      for (const job of await jobsIn(stateDir, app)) {
        if (!wanted.has(job)) await remove(app, job, around, signal);
      }
      for (const job of jobs) await arm(job, around, signal);
    },

    any: async (app) => (await jobsIn(stateDir, app)).length > 0,

    async last(app, job, signal) {
      const {
        active: state,
        exit,
        startedAtUs,
        exitedAtUs,
      } = await watch.see(cronServiceOf(app, job), signal);
      if (startedAtUs === 0) return null;
      const epoch = (us: number): number => Math.round(Date.now() - (monotonicUs() - us) / 1_000);
      const startedAt = epoch(startedAtUs);
      if (state === 'activating' || state === 'active' || exit === null) {
        return { startedAt, endedAt: null, outcome: 'running', detail: '' };
      }
      return { startedAt, endedAt: epoch(exitedAtUs), ...judged(exit) };
    },
  };

  async function arm(job: TimedJob, { scripts }: Surroundings, signal: AbortSignal): Promise<void> {
    const { app, job: name, calendars } = job;
    const folder = join(cronFolder(stateDir, app), name);
    const timer = cronTimerOf(app, name);
    await mkdir(folder, { recursive: true, mode: 0o750 });
    await keepWritten(join(folder, 'start'), jobScript(job, scripts(app)), 0o750);
    await syncFolder(join(folder, '..'));
    await active.add(timer, []);
    const known = join(folder, 'calendars');
    const text = `${calendars.join('\n')}\n`;
    // One that is active takes no new times by itself.
    const verb = (await readIfThere(known)) === text ? 'start' : 'restart';
    const { ok, said } = await systemctl([verb, timer], signal);
    if (!ok) {
      throw new ZddError('ZDD_START_FAILED', `the timer of the job ${name} cannot be started`, {
        evidence: [['systemctl', said]],
        tries: [`systemctl status ${timer}`, 'zdd-agent doctor'],
      });
    }
    await keepWritten(known, text, 0o600);
  }
}

/** A run that is under way goes on to its end: its script was read when it began. */
async function remove(
  app: string,
  job: string,
  { stateDir, active }: Surroundings,
  signal: AbortSignal,
): Promise<void> {
  const timer = cronTimerOf(app, job);
  await active.remove(timer);
  await systemctl(['stop', timer], signal);
  await rm(join(cronFolder(stateDir, app), job), { recursive: true, force: true });
}

function judged(exit: Exit): Pick<TimedRun, 'outcome' | 'detail'> {
  if (exit.code === 0) return { outcome: 'ok', detail: '' };
  if (exit.code === TIMED_OUT) return { outcome: 'failed', detail: 'ran longer than its timeout' };
  if (exit.outOfMemory === true) return { outcome: 'failed', detail: 'ran out of memory' };
  const how = exit.code === null ? `was ended by ${exit.signal}` : `exited with ${exit.code}`;
  return { outcome: 'failed', detail: how };
}

function cronFolder(stateDir: string, app: string): string {
  return join(stateDir, 'apps', app, 'cron');
}

async function jobsIn(stateDir: string, app: string): Promise<string[]> {
  try {
    return (await readdir(cronFolder(stateDir, app))).filter((name) => !name.startsWith('.'));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

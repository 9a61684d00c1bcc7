import { randomInt } from 'node:crypto';
import type { Generation } from '../core/model.ts';
import { ZddError } from '../protocol/errors.ts';
import { isDue, type SmokeCheck, smokeName } from '../protocol/smoke.ts';
import { environmentOf } from './environment.ts';
import { configOf, type Host, type Task } from './host.ts';
import type { Question } from './http-question.ts';
import { runCheck } from './smoke/command.ts';
import { candidateEntryOf, type Entry, entryOf } from './smoke/entry.ts';
import { askCheck } from './smoke/request.ts';
import { SmokeValues } from './smoke/values.ts';
import { trafficSlots } from './traffic.ts';

/** Of whom checks ask, and how they call it. */
interface Subject {
  readonly moment: 'before' | 'after';
  readonly says: string;
  readonly listen: Question['listen'];
  readonly headers: Readonly<Record<string, string>>;
  readonly pathOf: Entry['pathOf'];
}

/**
 * Asks the candidate itself, before any user does. One wrong answer refuses the release. A rollback
 * does without: what it brings back has served.
 * @throws ZDD_SMOKE_FAILED
 */
export async function smoke(host: Host, task: Task, candidate: Generation): Promise<string> {
  const checks = dueChecks(host, task, candidate, 'before');
  const [slot] = trafficSlots(host, task.app, candidate);
  if (checks.length === 0 || slot === undefined) return 'none';
  const { listen } = slot.spec;
  const subject: Subject = {
    moment: 'before',
    says: `${slot.process}.${slot.index}`,
    listen,
    headers: {},
    pathOf: (path) => path,
  };
  return await passAll(host, task, candidate, checks, subject);
}

/**
 * Asks once more, through HAProxy as users do, when they have been moved: routes, redirects and all
 * instances take part. Where the agent has no way in, that is said and nothing is refused.
 * @throws ZDD_SMOKE_FAILED
 */
export async function smokeAfter(host: Host, task: Task, candidate: Generation): Promise<void> {
  const { app, deployment, tell } = task;
  if (host.journal.state(app).deployment?.kind !== 'deploy') return;
  const checks = dueChecks(host, task, candidate, 'after');
  if (checks.length === 0) return;
  const began = performance.now();
  const entry = entryOf(host, app, configOf(host, app, candidate));
  const summary = await askThrough(host, task, candidate, checks, entry);
  const ms = performance.now() - began;
  tell({ type: 'step_done', app, deployment, step: { phase: 'smoking', ms, summary } });
}

/**
 * The checks of a canary: at the candidate itself, and through HAProxy as one of its users.
 * @throws ZDD_SMOKE_FAILED
 */
export async function smokeCanary(host: Host, task: Task, candidate: Generation): Promise<string> {
  const { app } = task;
  const own = await smoke(host, task, candidate);
  const checks = dueChecks(host, task, candidate, 'after');
  if (checks.length === 0) return own;
  // HAProxy has the routes of stable until all users have moved.
  const leading = host.journal.state(app).stable ?? candidate;
  const entry = candidateEntryOf(host, app, configOf(host, app, leading));
  const through = await askThrough(host, task, candidate, checks, entry);
  return own === 'none' ? through : `${own}, ${through}`;
}

/** @param entry where HAProxy is asked, or why it cannot be */
async function askThrough(
  host: Host,
  task: Task,
  candidate: Generation,
  checks: ReturnType<typeof dueChecks>,
  entry: ReturnType<typeof entryOf> | ReturnType<typeof candidateEntryOf>,
): Promise<string> {
  if (typeof entry === 'string') return `not asked through HAProxy: ${entry}`;
  const through = { ...entry, moment: 'after', says: 'HAProxy' } as const;
  return await passAll(host, task, candidate, checks, through);
}

function dueChecks(
  host: Host,
  { app }: Task,
  candidate: Generation,
  moment: Subject['moment'],
): Array<readonly [number, SmokeCheck]> {
  if (host.journal.state(app).deployment?.kind === 'rollback') return [];
  const checks = [...configOf(host, app, candidate).smoke.entries()];
  return checks.filter(([, check]) => isDue(check, moment));
}

async function passAll(
  host: Host,
  task: Task,
  candidate: Generation,
  checks: ReadonlyArray<readonly [number, SmokeCheck]>,
  subject: Subject,
): Promise<string> {
  const { app, deployment, tell } = task;
  const environment = environmentOf(host, app, candidate, configOf(host, app, candidate));
  const values = new SmokeValues(environment, host.environments.values(app));
  let asked = 0;
  for (const [index, check] of checks) {
    const message = `${smokeName(check)} (${asked + 1} of ${checks.length})`;
    tell({ type: 'progress', app, deployment, phase: 'smoking', message });
    const path = 'run' in check ? '' : subject.pathOf(check.path);
    if (path === null) continue;
    const wrong =
      'run' in check
        ? await runCheck(
            host,
            check,
            subject.listen,
            commandBase(host, task, candidate, environment, index, subject),
            task.signal,
          )
        : await askCheck(check, path, values, {
            listen: subject.listen,
            headers: subject.headers,
            release: candidate.release,
            signal: task.signal,
          });
    if (wrong !== null) throw refusal(check, subject, values.redact(wrong), candidate);
    asked += 1;
  }
  const through = subject.moment === 'after' ? ' through HAProxy' : '';
  const unreachable = checks.length - asked;
  const rest = unreachable === 0 ? '' : `, ${unreachable} on paths that no user reaches`;
  return `${asked} of ${asked} passed${through}${rest}`;
}

function commandBase(
  host: Host,
  { app }: Task,
  { release, deployment }: Generation,
  environment: Readonly<Record<string, string>>,
  index: number,
  { moment, headers }: Subject,
): Parameters<typeof runCheck>[3] {
  return {
    // Never one of before, whose end would be taken for the end of this one.
    name: `${app}.${release.split('-')[0]}-d${deployment}-smoke-${moment}-${index + 1}-${randomInt(1e9, 1e10)}`,
    app,
    release,
    cwd: host.layout.release(app, release),
    env: {
      ...environment,
      ZDD_SMOKE_WHEN: moment,
      ...(headers['host'] === undefined ? {} : { ZDD_SMOKE_HOST: headers['host'] }),
      ...(headers['cookie'] === undefined ? {} : { ZDD_SMOKE_COOKIE: headers['cookie'] }),
    },
  };
}

function refusal(
  check: SmokeCheck,
  { says }: Subject,
  wrong: string,
  { release }: Generation,
): ZddError {
  const isCommand = 'run' in check;
  return new ZddError(
    'ZDD_SMOKE_FAILED',
    isCommand
      ? `the smoke check ${smokeName(check)} of ${says} failed`
      : `${smokeName(check)} of ${says} failed its smoke check`,
    {
      evidence: [
        ...(check.name === undefined || isCommand
          ? []
          : [['request', `${check.method} ${check.path}`] as const]),
        [isCommand ? 'command' : 'last answer', wrong],
      ],
      tries: [`zdd-agent logs --release ${release}`],
    },
  );
}

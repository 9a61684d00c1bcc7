import type { AppState } from '../../core/model.ts';
import type { ContractReply } from '../../protocol/contract.ts';
import { formatDuration } from '../../protocol/duration.ts';
import { ZddError } from '../../protocol/errors.ts';
import { Leaving } from '../../runner/runner.ts';
import type { ContractRun } from '../../store/contracts.ts';
import { environmentOf } from '../environment.ts';
import { configOf, type Host } from '../host.ts';
import { pause } from '../pause.ts';
import { redact, secretsOf } from '../redact.ts';
import type { Deploys } from './deploys.ts';
import { assertUnlocked } from './lock.ts';

/** How often it is looked whether a rollback window has closed, ms. */
const LOOK_EVERY_MS = 5_000;
const LINES_SHOWN = 20;
const BY_ITSELF = 'zdd-agent';

/**
 * Begins the contract command of the release that serves. Nobody deploys the app while it runs, and
 * no release before this one comes back after it.
 * @throws ZDD_USAGE, ZDD_LOCKED, ZDD_CONTRACT_EARLY
 */
export function contract(
  host: Host,
  deploys: Deploys,
  app: string,
  { now, owner }: { readonly now: boolean; readonly owner: string },
  signal: AbortSignal,
): ContractReply {
  const { state } = deploys.known(app);
  const { stable } = state;
  if (stable === null || configOf(host, app, stable).contract === undefined) {
    throw new ZddError('ZDD_USAGE', `${app} has no release that serves and names a contract`, {
      tries: ['name the command as contract in zdd.yaml, then: zdd-agent push'],
    });
  }
  const { release } = stable;
  const since = host.journal.lastSeq();
  if (host.contracts.list(app).some((run) => run.release === release && run.outcome === 'ok')) {
    return { app, release, result: 'already_done', since };
  }
  const [older] = olderThatRun(state);
  if (older !== undefined && !now) throw tooEarly(host, state, older);
  assertUnlocked(host, app, []);
  deploys.assertOpen();
  const give = deploys.claim(app);
  try {
    const number = host.releases.find(app, release)?.number ?? 0;
    const id = host.contracts.begin({ app, release, number, owner, at: host.now() });
    tell(host, { app, release, owner }, 'started', '');
    void run(host, { id, app, release, owner }, signal).finally(give);
  } catch (error) {
    give();
    throw error;
  }
  return { app, release, result: 'started', since };
}

type Running = Pick<ContractRun, 'id' | 'app' | 'release' | 'owner'>;

function tell(
  host: Host,
  { app, release, owner }: Omit<Running, 'id'>,
  outcome: 'started' | 'ok' | 'failed',
  detail: string,
): void {
  const event = { type: 'contract', app, deployment: null, release, owner } as const;
  host.journal.tell({ ...event, outcome, detail });
}

/**
 * Runs the command to its end, or waits for the one that has run on since the daemon before: half a
 * contract is the worst of all. Never rejects.
 */
async function run(host: Host, running: Running, signal: AbortSignal): Promise<void> {
  try {
    const failure = await failureOf(host, running, signal);
    const secrets = secretsOf(host.environments.values(running.app));
    const detail = redact(failure ?? '', secrets);
    const outcome = failure === null ? 'ok' : 'failed';
    host.contracts.end(running.id, outcome, detail);
    tell(host, running, outcome, detail);
  } catch (error) {
    // What it came to, the next start finds out.
    if (signal.aborted) return;
    host.log.error(
      { app: running.app, err: error },
      'the end of a contract cannot be written down',
    );
  }
}

async function failureOf(
  host: Host,
  running: Running,
  signal: AbortSignal,
): Promise<string | null> {
  const { app, release } = running;
  const generation = { release, deployment: 0 };
  const config = configOf(host, app, generation);
  if (config.contract === undefined) return 'its zdd.yaml names no contract any more';
  const { run: command, timeout } = config.contract;
  // The daemon leaves; the command goes on where it can.
  const leaving = new AbortController();
  const leave = (): void => leaving.abort(new Leaving('the agent is stopping'));
  signal.addEventListener('abort', leave, { once: true });
  try {
    signal.throwIfAborted();
    const { exit, timedOut, output } = await host.runner.runOnce(
      {
        name: commandName(running),
        app,
        release,
        command,
        cwd: host.layout.release(app, release),
        env: environmentOf(host, app, generation, config),
        timeoutMs: timeout,
      },
      leaving.signal,
    );
    signal.throwIfAborted();
    if (exit.code === 0 && !timedOut) return null;
    const how = timedOut
      ? `ran longer than ${formatDuration(timeout)}`
      : exit.code === null
        ? `was ended by ${exit.signal ?? 'a signal'}`
        : `exited with ${exit.code}`;
    return [how, ...output.slice(-LINES_SHOWN)].join('\n');
  } catch (error) {
    signal.throwIfAborted();
    return error instanceof Error ? error.message : String(error);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

/** As a slot is called, so that runners know it for one. */
function commandName({ id, app, release }: Running): string {
  return `${app}.${release.split('-')[0]}-d0-contract-${id}`;
}

/** Contract commands of an app that may run on since the daemon before: to be waited for. */
export function contractCommandsOf(host: Host, app: string): string[] {
  return host.contracts
    .list(app)
    .filter(({ outcome }) => outcome === 'running')
    .map(commandName);
}

/** Older releases that a rollback could still take up, or that still answer somebody. */
function olderThatRun({ stable, retiring }: AppState): AppState['retiring'] {
  return retiring.filter(({ generation }) => generation.release !== stable?.release);
}

function tooEarly(
  host: Host,
  { app }: AppState,
  { generation, warmUntil }: AppState['retiring'][number],
): ZddError {
  const leftMs = warmUntil - host.now();
  const how =
    leftMs > 0
      ? `a rollback to ${generation.release} is possible for ${formatDuration(leftMs)} more`
      : `${generation.release} still works on what it has begun`;
  return new ZddError('ZDD_CONTRACT_EARLY', `${how}: after the contract it could not`, {
    traffic: 'untouched',
    tries: [
      `zdd-agent drain ${app}        to see when it has gone`,
      `zdd-agent contract --app ${app} --now        to give that rollback up`,
    ],
  });
}

/**
 * Runs contracts that are to follow by themselves, once no older release can come back. One that has
 * failed is not tried again: somebody has to look.
 */
export async function keepContracts(
  host: Host,
  deploys: Deploys,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    for (const app of host.journal.apps()) {
      try {
        if (!isDue(host, host.journal.state(app))) continue;
        contract(host, deploys, app, { now: false, owner: BY_ITSELF }, signal);
      } catch (error) {
        // Somebody deploys, or has locked the app: there will be another look.
        if (error instanceof ZddError) continue;
        host.log.error({ app, err: error }, 'a contract cannot be looked at');
      }
    }
    await pause(LOOK_EVERY_MS, signal);
  }
}

/** Takes up what the daemon before had begun. Before anybody can deploy: nobody may while it runs. */
export async function takeUpContracts(
  host: Host,
  deploys: Deploys,
  signal: AbortSignal,
): Promise<void> {
  for (const app of host.journal.apps()) await takeUp(host, deploys, app, signal);
}

async function takeUp(
  host: Host,
  deploys: Deploys,
  app: string,
  signal: AbortSignal,
): Promise<void> {
  for (const running of host.contracts.list(app)) {
    if (running.outcome !== 'running') continue;
    if (await host.runner.knowsOnce(commandName(running))) {
      // Versions before this one let a deployment begin beside it: that has the app, to its end.
      const free = host.journal.state(app).deployment === null;
      const give = free ? deploys.claim(app) : () => undefined;
      void run(host, running, signal).finally(give);
      continue;
    }
    const detail = 'the agent was stopped while it ran: nobody knows how far it came';
    host.contracts.end(running.id, 'failed', detail);
    tell(host, running, 'failed', detail);
  }
}

function isDue(host: Host, state: AppState): boolean {
  const { app, stable, deployment } = state;
  if (stable === null || deployment !== null) return false;
  if (configOf(host, app, stable).contract?.when !== 'after_warm') return false;
  if (host.contracts.list(app).some(({ release }) => release === stable.release)) return false;
  return olderThatRun(state).length === 0;
}

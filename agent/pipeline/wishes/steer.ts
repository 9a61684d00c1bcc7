import type { AppEvent } from '../../core/events.ts';
import { type AppState, type Failure, pausedOf } from '../../core/model.ts';
import { trafficMoved } from '../../core/way-back.ts';
import type { DeploymentReply } from '../../protocol/api.ts';
import { type ErrorCode, ZddError } from '../../protocol/errors.ts';
import type { Host } from '../host.ts';
import type { AppRun } from '../run.ts';
import { type Asker, requestOf } from './asker.ts';

type Told = Extract<AppEvent, { type: 'told' }>['verb'];

/** What is answered when a deployment has been told something. */
export const STEERED: Readonly<Record<Told, string>> = {
  abort: 'aborting',
  rollback: 'rolling_back',
  promote: 'promoting',
  pause: 'pausing',
  resume: 'resuming',
};

/**
 * Steers the running deployment. Told twice, or too late, it says so and changes nothing.
 * @throws ZDD_NOTHING_RUNNING, ZDD_NOT_IN_CANARY, ZDD_AGENT_BUSY
 */
export async function steer(
  host: Host,
  run: AppRun,
  verb: Told,
  asker: Asker,
  full = false,
): Promise<DeploymentReply> {
  const reply = await steerIfRunning(host, run, verb, asker, full);
  if (reply === null) throw nothingRunning(run.state, verb);
  return reply;
}

/**
 * As `steer`.
 * @returns null when none runs, or when it has come to its end before it could be told
 * @throws ZDD_NOT_IN_CANARY, ZDD_AGENT_BUSY
 */
export async function steerIfRunning(
  { journal }: Host,
  run: AppRun,
  verb: Told,
  asker: Asker,
  full = false,
): Promise<DeploymentReply | null> {
  const since = journal.lastSeq();
  const { app, deployment } = run.state;
  if (deployment === null) return null;
  const { id, phase } = deployment;
  if (phase.name === 'returning' || phase.name === 'reverting' || phase.name === 'stopping') {
    return { app, deployment: id, result: `already_${phase.name}`, since };
  }
  if (verb === 'pause' || verb === 'resume') {
    if (phase.name !== 'canary' && phase.name !== 'rolling') throw notInCanary(app, id, phase.name);
    if ((pausedOf(deployment) === null) === (verb === 'resume')) {
      const result = verb === 'pause' ? 'already_paused' : 'already_running';
      return { app, deployment: id, result, since };
    }
  }
  const moved = trafficMoved(deployment);
  const heard = await run.post({
    type: 'told',
    deployment: id,
    verb,
    full,
    failure: toldBy(verb, asker.owner, moved),
    ...requestOf(asker),
  });
  if (!heard && run.closed) {
    throw new ZddError('ZDD_AGENT_BUSY', 'the agent is stopping', { tries: ['zdd-agent status'] });
  }
  if (!heard && run.state.deployment?.id !== id) return null;
  return { app, deployment: id, result: STEERED[verb], since };
}

/** The refusal of whoever comes too late. */
export function nothingRunning({ app, stable }: AppState, verb: Told): ZddError {
  return new ZddError('ZDD_NOTHING_RUNNING', `no deployment of ${app} is running`, {
    ...(stable === null ? {} : { traffic: `100 % on ${stable.release}` }),
    tries: ['zdd-agent status', ...(verb === 'abort' ? ['zdd-agent rollback'] : [])],
  });
}

function notInCanary(app: string, id: number, phase: string): ZddError {
  return new ZddError(
    'ZDD_NOT_IN_CANARY',
    `#${id} of ${app} is ${phase}, not in its canary, nor rolling`,
    {
      tries: [`zdd-agent attach ${id}`, 'zdd-agent abort'],
    },
  );
}

function toldBy(verb: Told, owner: string, moved: boolean): Failure {
  const rolledBack = verb === 'rollback' && moved;
  const code: ErrorCode = rolledBack ? 'ZDD_ROLLED_BACK' : 'ZDD_ABORTED';
  const what = verb === 'pause' ? 'paused' : rolledBack ? 'rolled back' : 'aborted';
  return {
    code,
    message: `${what} by ${owner}`,
    evidence: [],
    tries: ['zdd-agent push'],
  };
}

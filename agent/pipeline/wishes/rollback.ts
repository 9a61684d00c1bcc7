import type { Deployment } from '../../core/model.ts';
import type { DeploymentReply } from '../../protocol/api.ts';
import { configOf, type Host } from '../host.ts';
import type { Asker } from './asker.ts';
import { refuseAcrossContract } from './contract-crossed.ts';
import { type Deploys, TargetGone } from './deploys.ts';
import { policyOf } from './policy.ts';
import { rollbackTarget } from './rollback-target.ts';
import { nothingRunning, steerIfRunning } from './steer.ts';
import { unwatched } from './strategy.ts';

/** What `zdd-agent rollback` says. */
export interface RollbackWish extends Asker {
  /** Where to; unless given what is being deployed is taken back, or else the last good release is live again. */
  readonly release?: string | undefined;
  /** Although somebody has locked the app. */
  readonly force?: boolean | undefined;
  /** Although a contract was run that this release may not live with. */
  readonly acrossContract?: boolean | undefined;
}

/**
 * The way back.
 * @throws ZDD_APP_UNKNOWN, ZDD_NOTHING_TO_ROLL_BACK, ZDD_RELEASE_UNKNOWN, ZDD_LOCKED,
 * ZDD_CONTRACT_CROSSED, ZDD_NOTHING_RUNNING, ZDD_HAPROXY_*, ZDD_AGENT_BUSY
 */
export async function rollback(
  host: Host,
  deploys: Deploys,
  app: string,
  wish: RollbackWish,
): Promise<DeploymentReply> {
  const run = deploys.known(app);
  const { deployment } = run.state;
  // What runs already may always be taken back: a lock keeps things from beginning.
  if (deployment !== null && wish.release === undefined) {
    const steered = await steerIfRunning(host, run, 'rollback', wish);
    if (steered !== null) return steered;
    // It has come to its end in this moment: what it has brought is taken back like any other.
    if (!hasBrought(host, app, deployment)) throw nothingRunning(run.state, 'rollback');
    return await rollback(host, deploys, app, wish);
  }
  const target = rollbackTarget(host, run.state, wish.release);
  if (target === null) {
    return { app, deployment: 0, result: 'already_live', since: host.journal.lastSeq() };
  }
  const release = target.kind === 'warm' ? target.generation.release : target.release;
  const config = configOf(host, app, { release, deployment: 0 });
  await deploys.refuseWithoutHaproxy(config);
  // From here to the request nothing is waited for: no contract can be run in between.
  if (wish.acrossContract !== true) refuseAcrossContract(host, app, release);
  deploys.refuseConflicts(config);
  const policy = { ...policyOf(config, {}), bakeMs: 0 };
  try {
    return await deploys.request(app, target, wish, `rollback to ${release}`, policy, {
      config,
      rolled: { config, written: unwatched(config.strategy) },
      force: wish.force ?? false,
      although: 'zdd-agent rollback --force      although it is locked',
    });
  } catch (cause) {
    // What was warm has gone cold in between: the way back to it is another one now.
    if (!(cause instanceof TargetGone)) throw cause;
    return await rollback(host, deploys, app, { ...wish, release });
  }
}

/** Whether this deployment, which has ended, has put another release into service. */
function hasBrought({ journal }: Host, app: string, { id, kind }: Deployment): boolean {
  const last = journal.lastReceipt(app);
  const brings = kind === 'deploy' || kind === 'rollback';
  return brings && last?.deployment === id && last.outcome === 'succeeded';
}

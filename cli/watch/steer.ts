import type { Context } from '../context.ts';
import { ownerOf } from '../push/origin.ts';
import { openProgress } from '../render/progress.ts';
import { commandFor, findTarget } from '../target.ts';
import { conclude, type Wanted } from './conclude.ts';
import { type Watched, watchDeployment } from './watch.ts';

/** The verbs that steer a deployment, or start one that needs no artifact. */
export interface Steering {
  readonly verb: 'rollback' | 'abort' | 'promote';
  readonly release?: string | undefined;
  /** A rollback although the app is locked. */
  readonly force?: boolean;
  readonly detach: boolean;
}

/** Asks the agent, then watches what comes of it. @returns the exit code */
export async function steer(context: Context, steering: Steering): Promise<number> {
  const { screen } = context;
  const agent = await context.agent();
  const target = await findTarget(context, agent);
  const command = commandFor(context, target);
  const owner = ownerOf();
  const reply = await agent.steer(target.app, steering.verb, {
    owner,
    ...(steering.release === undefined ? {} : { release: steering.release }),
    ...(steering.force === true ? { force: true } : {}),
  });
  if (reply.result === 'already_live') {
    // Nothing was started: there is nothing to watch.
    screen.value(reply);
    screen.data(`${reply.app}: that release is live already`);
    return 0;
  }
  if (steering.detach) {
    screen.value(reply);
    screen.data(`${reply.app} #${reply.deployment}: ${reply.result.replaceAll('_', ' ')}`);
    screen.note(`Try: ${command(`attach ${reply.deployment}`)}`);
    return 0;
  }
  const said = reply.result === 'started' ? '' : `: ${reply.result.replaceAll('_', ' ')}`;
  openProgress(screen).line(`${reply.app} #${reply.deployment}${said}\n`);
  const watched: Watched = { agent, deployment: reply, owner, command };
  const receipt = await watchDeployment(context, watched);
  return conclude(context, watched, receipt, wantedBy(steering, reply.result));
}

/** A rollback that starts a deployment wants it live; one that steers a running one wants it ended. */
function wantedBy({ verb }: Steering, result: string): Wanted {
  switch (verb) {
    case 'promote':
      return 'live';
    case 'abort':
      return 'ended';
    case 'rollback':
      return result === 'started' ? 'live' : 'ended';
  }
}

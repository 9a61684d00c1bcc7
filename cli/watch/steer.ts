import type { SteeringBody, SteeringVerb } from '../connect/agent.ts';
import type { Context } from '../context.ts';
import { ownerOf } from '../push/source/origin.ts';
import { openProgress } from '../render/progress.ts';
import { commandFor, findTarget } from '../target.ts';
import { conclude, type Wanted } from './conclude.ts';
import { type Watched, watchDeployment } from './watch.ts';

/** The verbs that steer a deployment, or start one that needs no artifact. */
export interface Steering {
  readonly verb: SteeringVerb;
  /** What the verb says beside who asks. */
  readonly wish?: Omit<SteeringBody, 'owner'>;
  readonly detach: boolean;
}

/** Results of a verb that has started nothing, because it is so already. */
const NOTHING_TO_WATCH: Readonly<Record<string, string>> = {
  already_paused: 'it is paused already',
  already_running: 'it is not paused',
  already_live: 'that release is live already',
  already_started: 'it serves already',
  already_stopped: 'it is stopped already',
  already_scaled: 'so many instances run already; later deploys keep to it',
  scaled_for_start: 'it is stopped; it will start with these numbers',
};

/** Asks the agent, then watches what comes of it. @returns the exit code */
export async function steer(context: Context, steering: Steering): Promise<number> {
  const { screen } = context;
  const agent = await context.agent();
  const target = await findTarget(context, agent);
  const command = commandFor(context, target);
  const owner = ownerOf();
  const reply = await agent.steer(target.app, steering.verb, { owner, ...steering.wish });
  const nothing = NOTHING_TO_WATCH[reply.result];
  if (nothing !== undefined) {
    screen.value(reply);
    screen.data(`${reply.app}: ${nothing}`);
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
    case 'pause':
    case 'resume':
    case 'retry':
    case 'restart':
    case 'scale':
    case 'start':
    case 'stop':
      return 'live';
    case 'abort':
      return 'ended';
    case 'rollback':
      return result === 'started' ? 'live' : 'ended';
  }
}

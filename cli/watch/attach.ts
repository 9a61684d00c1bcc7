import { ZddError } from '../../agent/protocol/errors.ts';
import type { Context } from '../context.ts';
import { readDeploymentId } from '../input.ts';
import { ownerOf } from '../push/source/origin.ts';
import { openProgress } from '../render/progress.ts';
import { commandFor, findTarget } from '../target.ts';
import { conclude } from './conclude.ts';
import { tellStory } from './story.ts';
import { type Watched, watchDeployment } from './watch.ts';

/** @param typed number of the deployment; default: the running one. @returns the exit code */
export async function attachTo(context: Context, typed: string | undefined): Promise<number> {
  const { screen } = context;
  const { signal } = context.interrupts;
  const named = typed === undefined ? undefined : readDeploymentId(typed);
  const agent = await context.agent();
  const target = await findTarget(context, agent);
  const command = commandFor(context, target);
  const id = named ?? (await agent.app(target.app, signal)).deployment?.id;
  if (id === undefined) {
    throw new ZddError('ZDD_NOTHING_RUNNING', `no deployment of ${target.app} is running`, {
      tries: [command('why'), command('status')],
    });
  }
  const { receipt } = await agent.deployment(target.app, id, signal);
  screen.note(`${target.app} #${id}\n`);
  const watched: Watched = {
    agent,
    deployment: { app: target.app, deployment: id, since: 0 },
    owner: ownerOf(),
    command,
  };
  if (receipt) {
    // It has ended: its story is in the receipt, however old its events are.
    tellStory(openProgress(screen), new Set()).complete(receipt);
    screen.value(receipt);
    return conclude(context, watched, receipt, 'live');
  }
  return conclude(context, watched, await watchDeployment(context, watched), 'live');
}

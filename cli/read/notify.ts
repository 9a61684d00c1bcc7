import type { Context } from '../context.ts';
import { readDeploymentId } from '../input.ts';
import { ownerOf } from '../owner.ts';
import { commandFor, findTarget } from '../target.ts';

/** @param typed number of the deployment; default: the last that ended. @returns the exit code */
export async function notifyAgain(context: Context, typed: string | undefined): Promise<number> {
  const { screen } = context;
  const deployment = typed === undefined ? undefined : readDeploymentId(typed);
  const agent = await context.agent();
  const target = await findTarget(context, agent);
  const reply = await agent.notify(target.app, {
    owner: ownerOf(),
    ...(deployment === undefined ? {} : { deployment }),
  });
  screen.value(reply);
  screen.data(`${reply.app} #${reply.deployment} is told again: ${reply.to.join(', ')}`);
  screen.note(`What came of it: ${commandFor(context, target)('events')}`);
  return 0;
}

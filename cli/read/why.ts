import { ZddError } from '../../agent/protocol/errors.ts';
import type { Receipt } from '../../agent/protocol/events.ts';
import type { Agent } from '../connect/agent.ts';
import type { Context } from '../context.ts';
import { readDeploymentId } from '../input.ts';
import { receiptLines } from '../render/receipt.ts';
import { commandFor, findTarget } from '../target.ts';

/** @param typed number of the deployment; default: the last that ended. @returns the exit code */
export async function printReceipt(context: Context, typed: string | undefined): Promise<number> {
  const { screen } = context;
  const { signal } = context.interrupts;
  const id = typed === undefined ? undefined : readDeploymentId(typed);
  const agent = await context.agent();
  const target = await findTarget(context, agent);
  const command = commandFor(context, target);
  const receipt =
    id === undefined
      ? await lastReceipt(agent, target.app, signal)
      : (await agent.deployment(target.app, id, signal)).receipt;
  if (receipt === null) {
    throw new ZddError(
      'ZDD_NOTHING_RUNNING',
      id === undefined
        ? `no deployment of ${target.app} has ended yet`
        : `${target.app} #${id} has not ended yet`,
      { tries: [command(id === undefined ? 'status' : `attach ${id}`)] },
    );
  }
  screen.value(receipt);
  screen.data(receiptLines(screen, receipt).join('\n'));
  return 0;
}

async function lastReceipt(
  agent: Agent,
  app: string,
  signal: AbortSignal,
): Promise<Receipt | null> {
  let last: Receipt | null = null;
  for await (const { event } of agent.events({ app }, signal)) {
    if (event?.type === 'deployment_ended' && event.app === app) last = event.receipt;
  }
  return last;
}

import type { GateReply } from '../../agent/protocol/gate.ts';
import type { Agent } from '../connect/agent.ts';
import type { Context } from '../context.ts';
import { ownerOf } from '../owner.ts';
import { findTarget } from '../target.ts';

const SAID: Readonly<Record<GateReply['result'], string>> = {
  locked: 'locked: nobody deploys, restarts or scales it until zdd-agent unlock',
  already_locked: 'already locked, by you',
  unlocked: 'unlocked',
  already_unlocked: 'not locked',
  on: 'in maintenance: visitors get 503 until zdd-agent maintenance off',
  already_on: 'already in maintenance, just so',
  off: 'out of maintenance',
  already_off: 'not in maintenance',
};

/** Asks the agent to shut or open an app, and says what came of it. @returns the exit code */
export async function gate(
  context: Context,
  verb: Parameters<Agent['gate']>[1],
  body: Readonly<Record<string, unknown>>,
): Promise<number> {
  const agent = await context.agent();
  const { app } = await findTarget(context, agent);
  const reply = await agent.gate(app, verb, { ...body, owner: ownerOf() });
  context.screen.value(reply);
  context.screen.data(`${app}: ${SAID[reply.result]}`);
  if (reply.reloaded) context.screen.note('HAProxy was reloaded gracefully for what was new to it');
  if (reply.answers === false) {
    context.screen.note(`${app} does not answer its health check: zdd-agent status --app ${app}`);
  }
  return 0;
}

import type { StatusReply } from '../../agent/protocol/api.ts';
import type { Agent } from '../connect/agent.ts';
import type { Context } from '../context.ts';
import { type Answered, askAll, exitOfAll } from '../hosts/ask-all.ts';
import type { Fleet } from '../hosts/fleet.ts';
import { fleetStatusLines } from '../render/fleet-status.ts';
import { statusLines } from '../render/status.ts';
import { cliVersion } from '../version.ts';

/** @param named only this app. @returns the exit code */
export async function printStatus(context: Context, named: string | undefined): Promise<number> {
  const { screen, globals, interrupts } = context;
  const agent = await context.agent();
  const reply = await ask(agent, named ?? globals.app, interrupts.signal);
  const cli = await cliVersion();
  screen.value({ ...reply, cli });
  screen.data(statusLines(screen, reply, { now: Date.now(), cli }).join('\n'));
  return 0;
}

/** One table of all hosts; those out of reach are in it as well. @returns the exit code */
export async function printFleetStatus(fleet: Fleet, named: string | undefined): Promise<number> {
  const { screen, globals, interrupts } = fleet;
  const app = named ?? globals.app;
  const [cli, replies] = await Promise.all([
    cliVersion(),
    askAll(fleet, (agent) => ask(agent, app, interrupts.signal)),
  ]);
  const answers = withoutStrangers(replies);
  for (const { host, answer, error } of answers) {
    screen.value(error === null ? { host: host.name, ...answer, cli } : { host: host.name, error });
  }
  const about = { environment: fleet.environment, now: Date.now(), cli };
  screen.data(fleetStatusLines(screen, answers, about).join('\n'));
  return exitOfAll(answers);
}

/** An app asked for by name that a host does not know is an error, and not an empty table. */
async function ask(
  agent: Agent,
  named: string | undefined,
  signal: AbortSignal,
): Promise<StatusReply> {
  const reply = await agent.status(signal);
  if (named === undefined) return reply;
  const app = reply.apps.find((each) => each.app === named) ?? (await agent.app(named, signal));
  return { ...reply, apps: [app] };
}

/** An app need not be on every host; it is unknown when it is on none. */
function withoutStrangers(answers: readonly Answered<StatusReply>[]): Answered<StatusReply>[] {
  if (answers.every(({ answer }) => answer === null)) return [...answers];
  return answers.filter((each) => each.error?.code !== 'ZDD_APP_UNKNOWN');
}

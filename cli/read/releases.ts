import type { ReleasesReply } from '../../agent/protocol/api.ts';
import type { Context } from '../context.ts';
import { type Answered, askAll, exitOfAll } from '../hosts/ask-all.ts';
import type { Fleet } from '../hosts/fleet.ts';
import { showError } from '../render/error.ts';
import { fleetReleaseLines } from '../render/fleet-releases.ts';
import { releaseLines } from '../render/releases.ts';
import { findTarget } from '../target.ts';

/** @param named the app. @returns the exit code */
export async function printReleases(context: Context, named: string | undefined): Promise<number> {
  const { screen, globals, interrupts } = context;
  const agent = await context.agent();
  const { app } = await findTarget(context, agent, named ?? globals.app);
  const reply = await agent.releases(app, interrupts.signal);
  screen.value(reply);
  screen.data(releaseLines(screen, reply, Date.now()).join('\n'));
  return 0;
}

/** Which hosts have what, one line for all copies of a release. @returns the exit code */
export async function printFleetReleases(fleet: Fleet, named: string | undefined): Promise<number> {
  const { screen, globals, interrupts } = fleet;
  const answers = await askAll(fleet, async (agent, { context }) => {
    const { app } = await findTarget(context, agent, named ?? globals.app);
    return agent.releases(app, interrupts.signal);
  });
  const shown = answers.some(({ answer }) => answer !== null);
  for (const { host, answer, error } of answers) {
    screen.value(error === null ? { host: host.name, ...answer } : { host: host.name, error });
  }
  if (shown) screen.data(fleetReleaseLines(screen, answers, Date.now()).join('\n'));
  for (const each of answers) showRefusal(fleet, each);
  return exitOfAll(answers);
}

function showRefusal({ screen }: Fleet, { host, error }: Answered<ReleasesReply>): void {
  if (error === null) return;
  screen.alarm(`\n${host.label}`);
  showError(screen, error, { onStdout: false });
}

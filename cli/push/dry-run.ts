import type { AppStatus } from '../../agent/protocol/api.ts';
import { toErrorBody, ZddError } from '../../agent/protocol/errors.ts';
import type { Agent } from '../connect/agent.ts';
import type { Context } from '../context.ts';
import { rows } from '../render/error.ts';
import type { Progress } from '../render/progress.ts';
import { prepareArtifact } from './artifact.ts';
import { lookAtApp } from './lock.ts';
import { planLines } from './plan.ts';
import type { Prepared, PushWish } from './push.ts';

/** Packs, asks and says what a push would do. Sends nothing. @returns the exit code */
export async function dryRun(
  context: Context,
  agent: Agent,
  progress: Progress,
  { source, origin, config, app }: Prepared,
  wish: PushWish,
): Promise<number> {
  const { screen } = context;
  const { signal } = context.interrupts;
  const artifact = await prepareArtifact(source, progress, signal);
  await artifact.remove();
  const { before, scaled } = await lookBefore(agent, app, signal);
  screen.value({
    schemaVersion: 1,
    dryRun: true,
    app,
    source: origin,
    artifact: artifact.sha256,
    bytes: artifact.bytes,
    before,
    config,
  });
  const lines = [
    `${app ?? source.typed}: nothing was sent`,
    ...rows([
      ['would send', artifact.summary],
      ['sha256', artifact.sha256],
      ['now', before],
    ]),
  ];
  if (config) {
    lines.push(
      ...planLines(config, {
        ...(wish.bakeMs === undefined ? {} : { bakeMs: wish.bakeMs }),
        ...(wish.probeTimeoutMs === undefined ? {} : { probeTimeoutMs: wish.probeTimeoutMs }),
        scaled,
      }),
    );
  } else {
    lines.push(...rows([['plan', 'the agent reads zdd.yaml from the archive']]));
  }
  screen.data(lines.join('\n'));
  return 0;
}

/** What stands on the host; a host out of reach is no reason not to show the rest. */
async function lookBefore(
  agent: Agent,
  app: string | null,
  signal: AbortSignal,
): Promise<{ before: string; scaled: AppStatus['scaled'] }> {
  if (app === null) {
    return { before: 'unknown: only the agent can tell which app this is', scaled: [] };
  }
  try {
    const status = await lookAtApp(agent, app, signal);
    if (status === null) return { before: 'the first deployment of this app', scaled: [] };
    return { before: describeBefore(status), scaled: status.scaled };
  } catch (cause) {
    if (cause instanceof ZddError && cause.code === 'ZDD_AGENT_UNREACHABLE') {
      return { before: `unknown: ${toErrorBody(cause).message}`, scaled: [] };
    }
    throw cause;
  }
}

function describeBefore({ live, stopped, deployment }: AppStatus): string {
  const now = stopped
    ? `stopped ${stopped.release}; this would start it`
    : `live ${live ?? 'nothing'}`;
  if (!deployment) return now;
  return `${now}; #${deployment.id} is ${deployment.phase} and would refuse this`;
}

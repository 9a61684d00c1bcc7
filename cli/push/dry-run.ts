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
  const before = await describeBefore(agent, app, signal);
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
      }),
    );
  } else {
    lines.push(...rows([['plan', 'the agent reads zdd.yaml from the archive']]));
  }
  screen.data(lines.join('\n'));
  return 0;
}

/** What stands on the host; a host out of reach is no reason not to show the rest. */
async function describeBefore(
  agent: Agent,
  app: string | null,
  signal: AbortSignal,
): Promise<string> {
  if (app === null) return 'unknown: only the agent can tell which app this is';
  try {
    const status = await lookAtApp(agent, app, signal);
    if (status === null) return 'the first deployment of this app';
    const live = `live ${status.live ?? 'nothing'}`;
    if (!status.deployment) return live;
    return `${live}; #${status.deployment.id} is ${status.deployment.phase} and would refuse this`;
  } catch (cause) {
    if (cause instanceof ZddError && cause.code === 'ZDD_AGENT_UNREACHABLE') {
      return `unknown: ${toErrorBody(cause).message}`;
    }
    throw cause;
  }
}

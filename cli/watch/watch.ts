import type { DeploymentReply } from '../../agent/protocol/api.ts';
import { toErrorBody, ZddError } from '../../agent/protocol/errors.ts';
import type { Receipt } from '../../agent/protocol/events.ts';
import type { PhaseName } from '../../agent/protocol/phase.ts';
import type { Agent } from '../connect/agent.ts';
import type { Context } from '../context.ts';
import { Interrupted, type InterruptSignal } from '../interrupt.ts';
import { openProgress, type Progress } from '../render/progress.ts';
import { askWhatNow, canAsk } from './ask.ts';
import { tellStory } from './story.ts';

export interface Watched {
  readonly agent: Agent;
  readonly deployment: Pick<DeploymentReply, 'app' | 'deployment' | 'since'>;
  readonly owner: string;
  /** Phases shown already by whoever watches. */
  readonly skip?: ReadonlySet<PhaseName>;
  /** What to type for a verb about this app: `zdd-agent attach 57 --app shop`. */
  command(verb: string): string;
}

/**
 * Follows a deployment to its end and shows it. The deployment belongs to the agent: leaving, by
 * whatever way, changes nothing about it.
 * @returns the receipt; with `--json` every event and then the receipt are on stdout by then.
 * @throws Interrupted when the user left; ZDD_AGENT_UNREACHABLE when the agent stays away
 */
export async function watchDeployment(context: Context, watched: Watched): Promise<Receipt> {
  const { screen } = context;
  const progress = openProgress(screen);
  const left = new AbortController();
  const giveBack = context.interrupts.take(onInterrupts(context, watched, progress, left));
  // A signal that came between the request and now was meant for the deployment as well.
  if (context.interrupts.signal.aborted) left.abort(leaving(watched));
  try {
    const receipt = await followToEnd(context, watched, progress, left.signal);
    screen.value(receipt);
    return receipt;
  } catch (cause) {
    throw cause instanceof ZddError ? stillRunning(cause, watched) : cause;
  } finally {
    giveBack();
    left.abort();
    progress.clear();
  }
}

async function followToEnd(
  context: Context,
  { agent, deployment: { app, deployment, since }, skip }: Watched,
  progress: Progress,
  signal: AbortSignal,
): Promise<Receipt> {
  const { screen } = context;
  const story = tellStory(progress, skip ?? new Set());
  let gap = false;
  const events = agent.followEvents(
    { app, deployment, since },
    {
      signal,
      onGap() {
        gap = true;
        progress.line('  (the agent is out of reach for a moment; the deployment is its own)');
      },
    },
  );
  for await (const { raw, event } of events) {
    if (event && (event.app !== app || event.deployment !== deployment)) continue;
    screen.value(raw);
    if (gap) {
      gap = false;
      progress.line('  (the agent is back)');
    }
    if (event) story.show(event);
    if (event?.type === 'deployment_ended') return event.receipt;
  }
  throw new ZddError('ZDD_BUG', 'the events of the deployment ended before it did');
}

/** What Ctrl-C does while a deployment is watched. */
function onInterrupts(
  context: Context,
  watched: Watched,
  progress: Progress,
  left: AbortController,
): (signal: InterruptSignal) => void {
  let asking = false;
  return (signal) => {
    if (signal !== 'SIGINT' || !canAsk(context.screen)) {
      left.abort(leaving(watched));
      return;
    }
    if (asking) return;
    asking = true;
    progress.pause();
    askWhatNow(context.screen, watched.deployment.deployment, left.signal)
      .then(async (answer) => {
        if (answer === 'detach') left.abort(leaving(watched));
        if (answer === 'abort') await abort(context, watched);
      })
      .finally(() => {
        asking = false;
        progress.resume();
      });
  };
}

async function abort(context: Context, { agent, deployment, owner }: Watched): Promise<void> {
  try {
    await agent.steer(deployment.app, 'abort', { owner });
  } catch (cause) {
    // Too late is an answer, not the end of watching.
    context.screen.alarm(`  not aborted: ${toErrorBody(cause).message}`);
  }
}

function leaving({ deployment: { app, deployment }, command }: Watched): Interrupted {
  return new Interrupted(
    [
      `Detached: ${app} #${deployment} goes on, it belongs to the agent.`,
      `Try: ${command(`attach ${deployment}`)}`,
    ],
    { app, deployment },
  );
}

/** Whoever loses sight of a deployment has to know that it did not end by that. */
function stillRunning(
  error: ZddError,
  { deployment: { app, deployment }, command }: Watched,
): ZddError {
  return new ZddError(error.code, error.message, {
    evidence: [
      ...error.evidence,
      ['deployment', `${app} #${deployment} goes on if the agent runs`],
    ],
    tries: [command(`attach ${deployment}`), ...error.tries],
    cause: error,
  });
}

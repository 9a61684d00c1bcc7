import { setFlagsFromString } from 'node:v8';
import type { DeploymentReply } from '../../agent/protocol/api.ts';
import { UPLOADS } from '../../agent/protocol/uploads.ts';
import type { Agent } from '../connect/agent.ts';
import type { Context } from '../context.ts';
import type { Progress } from '../render/progress.ts';
import { commandFor } from '../target.ts';
import { conclude } from '../watch/conclude.ts';
import { type Watched, watchDeployment } from '../watch/watch.ts';
import type { Load, Look } from './load.ts';
import { lookAtApp, refuseWhileLocked, startDeployment } from './lock.ts';
import { hasLostItsBase, SENT_WHOLE } from './lost-base.ts';
import type { Prepared, PushWish } from './prepare.ts';
import { type SendOptions, type Sent, send } from './send/send.ts';
import { sendWhileLookedAt } from './send/send-ahead.ts';
import { ownerOf } from './source/origin.ts';

/** Sends, starts, watches. @returns the exit code */
export async function deliver(
  context: Context,
  agent: Agent,
  progress: Progress,
  look: Look,
  prepared: Prepared,
  wish: PushWish,
): Promise<number> {
  // V8 would look through the whole heap after each 64 MB of buffers, twenty times for 100 MB. Not on
  // the command line: there it makes Node compile its own modules anew, 25 ms.
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  const { signal } = context.interrupts;
  const { app } = prepared;
  // Asked even when the app is not known yet: an agent out of reach shall be said before packing.
  const status = app === null ? null : await lookAtApp(agent, app, signal);
  if (app === null) await agent.status(signal);
  if (wish.waitMs === undefined) refuseWhileLocked(status, prepared.command, Date.now());
  const looking = look.shown(progress);
  // Whoever needs it gets what goes wrong with it.
  looking.catch(() => undefined);
  const options = { app, whole: wish.whole, signal };
  const known = status !== null;
  const first = await sendFirst(agent, look, looking, progress, { ...options, known });
  const owner = ownerOf();
  const begin = async (sent: Sent): Promise<Begun> => {
    const start = { wish, prepared, owner, sent };
    const reply = await startArtifact(context, agent, progress, start);
    progress.clear();
    const command =
      app === null ? commandFor(context, { app: reply.app, implied: false }) : prepared.command;
    return { agent, deployment: reply, owner, command, skip: new Set(['receiving']) };
  };
  let watched = await begin(first);
  if (wish.detach) return started(context, watched);
  let receipt = await watchDeployment(context, watched);
  const load = await looking;
  const counted = load.kind === 'tree' && known && !wish.whole;
  if (counted && hasLostItsBase(receipt)) {
    progress.line(SENT_WHOLE);
    watched = await begin(await send(agent, load, progress, { ...options, whole: true }));
    receipt = await watchDeployment(context, watched);
  }
  return await conclude(context, watched, receipt, 'live');
}

/** @param known whether the agent knows the app: of one that it does not, all travels */
async function sendFirst(
  agent: Agent,
  { ahead }: Look,
  looking: Promise<Load>,
  progress: Progress,
  options: SendOptions & { readonly known: boolean },
): Promise<Sent> {
  const { app, whole, known, signal } = options;
  if (app !== null && ahead !== null && (whole || !known) && (await agent.has(UPLOADS, signal))) {
    return await sendWhileLookedAt(agent, ahead, looking, progress, { app, signal });
  }
  ahead?.drop();
  return await send(agent, await looking, progress, options);
}

/** A deployment that was begun here, with all that the agent said of it. */
interface Begun extends Watched {
  readonly deployment: DeploymentReply;
}

interface Start {
  readonly wish: PushWish;
  readonly prepared: Prepared;
  readonly owner: string;
  readonly sent: Sent;
}

async function startArtifact(
  context: Context,
  agent: Agent,
  progress: Progress,
  { wish, prepared, owner, sent }: Start,
): Promise<DeploymentReply> {
  const since = performance.now();
  let waiting = false;
  const reply = await startDeployment(
    agent,
    {
      artifact: sent.artifact,
      owner,
      source: prepared.origin,
      receiveMs: sent.ms,
      // Of an archive only the agent knows whether its release command is for the fleet.
      ...(context.isFirstHost ? {} : { releasedElsewhere: true }),
      ...(wish.bakeMs === undefined ? {} : { bakeMs: wish.bakeMs }),
      ...(wish.strategy === undefined ? {} : { strategy: wish.strategy }),
      ...(wish.probeTimeoutMs === undefined ? {} : { probeTimeoutMs: wish.probeTimeoutMs }),
    },
    prepared.app,
    {
      waitMs: wish.waitMs,
      signal: context.interrupts.signal,
      onWait(who) {
        if (!waiting) progress.begin('wait');
        waiting = true;
        progress.update(who);
      },
    },
  );
  if (waiting) progress.done('wait', 'the other deployment has ended', performance.now() - since);
  return reply;
}

function started(context: Context, { command, deployment: reply }: Begun): number {
  context.screen.value(reply);
  context.screen.data(`started: ${reply.app} #${reply.deployment}`);
  context.screen.note(`Try: ${command(`attach ${reply.deployment}`)}`);
  return 0;
}

import { dirname } from 'node:path';
import type { DeploymentReply } from '../../agent/protocol/api.ts';
import type { AppConfig } from '../../agent/protocol/app-config.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import type { Agent } from '../connect/agent.ts';
import type { Context } from '../context.ts';
import { bytes as sizeText } from '../render/amounts.ts';
import { openProgress, type Progress } from '../render/progress.ts';
import { EDGE } from '../render/screen.ts';
import { clean, leftRight } from '../render/text.ts';
import { commandFor } from '../target.ts';
import { conclude } from '../watch/conclude.ts';
import { type Watched, watchDeployment } from '../watch/watch.ts';
import { type Artifact, prepareArtifact } from './artifact.ts';
import { nearestConfigFolder, readFolderConfig } from './config.ts';
import { dryRun } from './dry-run.ts';
import { lookAtApp, refuseWhileLocked, startDeployment } from './lock.ts';
import { describeOrigin, ownerOf } from './origin.ts';
import { findSource, type Source } from './source.ts';
import { upload } from './upload.ts';

export interface PushWish {
  /** As typed: a folder or an archive. */
  readonly path: string;
  readonly dryRun: boolean;
  readonly detach: boolean;
  /** How long to wait for another deployment, ms. */
  readonly waitMs: number | undefined;
  readonly bakeMs: number | undefined;
  readonly probeTimeoutMs: number | undefined;
}

/** Everything known about a push before anything is sent. */
export interface Prepared {
  readonly source: Source;
  readonly origin: string;
  /** Null for an archive: the agent reads it. */
  readonly config: AppConfig | null;
  /** Null when only the agent can tell. */
  readonly app: string | null;
  command(verb: string): string;
}

/** Checks, packs, sends, starts, watches. @returns the exit code */
export async function push(context: Context, wish: PushWish): Promise<number> {
  const { signal } = context.interrupts;
  const prepared = await prepare(context, wish);
  const { source, origin, app } = prepared;
  const agent = await context.agent();
  const progress = openProgress(context.screen);
  progress.line(
    `${leftRight(`${app ?? source.typed} → ${agent.where}`, `from ${clean(origin)}`, EDGE)}\n`,
  );
  if (wish.dryRun) return dryRun(context, agent, progress, prepared, wish);

  // Asked even when the app is not known yet: an agent out of reach shall be said before packing.
  const status = app === null ? null : await lookAtApp(agent, app, signal);
  if (app === null) await agent.status(signal);
  if (wish.waitMs === undefined) refuseWhileLocked(status, prepared.command, Date.now());

  const owner = ownerOf();
  const reply = await sendAndStart(context, agent, progress, { wish, prepared, owner });
  const command =
    app === null ? commandFor(context, { app: reply.app, implied: false }) : prepared.command;
  const watched: Watched = {
    agent,
    deployment: reply,
    owner,
    command,
    skip: new Set(['receiving']),
  };
  if (wish.detach) return started(context, watched, reply);
  return await conclude(context, watched, await watchDeployment(context, watched), 'live');
}

/** Everything that needs the artifact; afterwards the packed file is gone. */
async function sendAndStart(
  context: Context,
  agent: Agent,
  progress: Progress,
  { wish, prepared, owner }: Omit<Start, 'artifact' | 'receiveMs'>,
): Promise<DeploymentReply> {
  const { signal } = context.interrupts;
  try {
    const artifact = await prepareArtifact(prepared.source, progress, signal);
    try {
      const receiveMs = await send(agent, artifact, progress, signal);
      const start = { wish, prepared, artifact, owner, receiveMs };
      return await startArtifact(context, agent, progress, start);
    } finally {
      await artifact.remove();
    }
  } finally {
    progress.clear();
  }
}

async function prepare(context: Context, wish: PushWish): Promise<Prepared> {
  const { cwd, globals } = context;
  const source = await findSource(wish.path, cwd);
  const folder = source.kind === 'folder' ? source.path : dirname(source.path);
  const [config, origin] = await Promise.all([
    source.kind === 'folder' ? readFolderConfig(source.path, cwd) : null,
    describeOrigin(source.typed, folder),
  ]);
  const app = config?.app ?? globals.app ?? null;
  if (config && globals.app !== undefined && globals.app !== config.app) {
    throw new ZddError('ZDD_USAGE', `zdd.yaml says app ${config.app}, --app says ${globals.app}`, {
      tries: ['zdd-agent push'],
    });
  }
  const implied = source.kind === 'folder' && (await nearestConfigFolder(cwd)) === source.path;
  return {
    source,
    origin,
    config,
    app,
    command: commandFor(context, { app: app ?? 'NAME', implied: implied || app === null }),
  };
}

/** @returns how long it took, ms */
async function send(
  agent: Agent,
  artifact: Artifact,
  progress: Progress,
  signal: AbortSignal,
): Promise<number> {
  const started = performance.now();
  const all = sizeText(artifact.bytes);
  progress.begin('send', all);
  const reply = await upload(agent, artifact, signal, (sent) => {
    progress.update(`${sizeText(sent)} of ${all}`);
  });
  const ms = performance.now() - started;
  progress.done('send', reply.reused ? `${all}, already there` : all, ms);
  return ms;
}

interface Start {
  readonly wish: PushWish;
  readonly prepared: Prepared;
  readonly artifact: Artifact;
  readonly owner: string;
  readonly receiveMs: number;
}

async function startArtifact(
  context: Context,
  agent: Agent,
  progress: Progress,
  { wish, prepared, artifact, owner, receiveMs }: Start,
): Promise<DeploymentReply> {
  const since = performance.now();
  let waiting = false;
  const reply = await startDeployment(
    agent,
    {
      artifact: artifact.sha256,
      owner,
      source: prepared.origin,
      receiveMs,
      ...(wish.bakeMs === undefined ? {} : { bakeMs: wish.bakeMs }),
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

function started(context: Context, { command }: Watched, reply: DeploymentReply): number {
  context.screen.value(reply);
  context.screen.data(`started: ${reply.app} #${reply.deployment}`);
  context.screen.note(`Try: ${command(`attach ${reply.deployment}`)}`);
  return 0;
}

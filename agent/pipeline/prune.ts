import { generationsOf, sameGeneration } from '../core/model.ts';
import { toPrune } from '../core/retention.ts';
import type { InstanceSpec } from '../runner/runner.ts';
import { removeTree } from '../store/atomic-file.ts';
import { commandsUnderWay } from './commands.ts';
import { configOf, type Host, type Task } from './host.ts';
import { isCountedOn } from './receive.ts';

/** An artifact that has just come may be waiting for the request to deploy it. */
const ARTIFACT_KEPT_MS = 10 * 60_000;
/** Stopped instances of an app whose output is kept. */
const KEPT_OUTPUTS = 24;

/**
 * Lets HAProxy forget what has gone, then deletes what is no longer kept. Deployments go on
 * meanwhile: whatever is decided here is decided on the state of that very moment.
 */
export async function prune(host: Host, task: Task): Promise<void> {
  const { app } = task;
  await host.traffic.apply(host, task.signal, task.app);
  forgetSlots(host, app);
  await pruneReleases(host, task);
  await pruneOutput(host, app);
  await forgetReleaseCommands(host, task);
  await pruneArtifacts(host);
  host.journal.trim(app);
}

function forgetSlots(host: Host, app: string): void {
  const living = generationsOf(host.journal.state(app));
  for (const slot of host.slots.all()) {
    if (slot.app !== app) continue;
    if (living.some((alive) => sameGeneration(alive, slot.generation))) continue;
    host.slots.remove(app, slot.generation);
  }
}

async function pruneReleases(host: Host, task: Task): Promise<void> {
  const { app } = task;
  for (;;) {
    const release = nextToPrune(host, app);
    if (release === undefined) return;
    // The record goes first, in the same breath as the decision: from here on nobody finds it.
    host.releases.remove(app, release);
    task.tell({ type: 'release_pruned', app, deployment: task.deployment, release });
    try {
      await removeTree(host.layout.release(app, release));
    } catch (error) {
      // One odd folder must not stop the others from going: the disk would fill.
      host.log.warn({ app, release, err: error }, 'release folder could not be removed');
    }
  }
}

function nextToPrune(host: Host, app: string): string | undefined {
  const state = host.journal.state(app);
  // What is being unpacked may turn out to be a release that is here already.
  if (state.stable === null || state.deployment?.phase.name === 'unpacking') return undefined;
  const { keep, keep_bytes } = configOf(host, app, state.stable);
  const releases = host.releases.list(app).map(({ release, number, bytes, verdict }) => ({
    release,
    number,
    bytes,
    good: verdict === 'good',
  }));
  const budget = { releases: keep, bytes: keep_bytes ?? Number.POSITIVE_INFINITY };
  return toPrune(releases, state, budget).find((release) => !isCountedOn(host, app, release));
}

/** Output outlives its instance, for whoever asks why it ended, but neither its release nor for ever. */
async function pruneOutput(host: Host, app: string): Promise<void> {
  const inUse = new Set(host.slots.all().map(({ spec }) => spec.slot));
  const newestFirst = host.runner
    .stopped()
    .filter((spec) => spec.app === app && !inUse.has(spec.slot))
    .toSorted((a, b) => deploymentOf(b) - deploymentOf(a));
  for (const [index, { slot, release }] of newestFirst.entries()) {
    if (index < KEPT_OUTPUTS && host.releases.find(app, release) !== null) continue;
    await host.runner.forget(slot);
  }
}

/** How it ended is journaled by now. */
async function forgetReleaseCommands(host: Host, { app, signal }: Task): Promise<void> {
  await host.runner.forgetOnce(app, commandsUnderWay(host, host.journal.state(app)), signal);
}

function deploymentOf({ env }: InstanceSpec): number {
  return Number(env['ZDD_DEPLOYMENT'] ?? 0);
}

/** An archive is needed only until it is unpacked; the same bytes may come again at any moment. */
async function pruneArtifacts(host: Host): Promise<void> {
  const wanted = new Set(
    host.journal.apps().flatMap((app) => {
      const artifact = host.journal.state(app).deployment?.artifact;
      return artifact === null || artifact === undefined ? [] : [artifact];
    }),
  );
  for (const artifact of await host.artifacts.list({ olderThanMs: ARTIFACT_KEPT_MS })) {
    if (!wanted.has(artifact)) await host.artifacts.remove(artifact);
  }
}

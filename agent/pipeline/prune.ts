import { type AppState, candidateOf, sameGeneration } from '../core/model.ts';
import { toPrune } from '../core/retention.ts';
import type { InstanceSpec } from '../runner/runner.ts';
import { removeTree } from '../store/atomic-file.ts';
import { configOf, type Host, type Task } from './host.ts';

/** An artifact that has just come may be waiting for the request to deploy it. */
const ARTIFACT_KEPT_MS = 10 * 60_000;
/** Stopped instances of an app whose output is kept. */
const KEPT_OUTPUTS = 24;

/** Lets HAProxy forget what has gone, then deletes what is no longer kept. */
export async function prune(host: Host, task: Task, state: AppState): Promise<void> {
  await host.traffic.apply(host, task.signal);
  await forgetSlots(host, state);
  await pruneReleases(host, task, state);
  await pruneOutput(host, state);
  await pruneArtifacts(host);
  host.journal.trim(state.app);
}

async function forgetSlots(host: Host, state: AppState): Promise<void> {
  const living = [
    state.stable,
    state.deployment === null ? null : candidateOf(state.deployment.phase),
    ...state.retiring.map(({ generation }) => generation),
  ];
  const gone = host.slots
    .all()
    .filter(({ app }) => app === state.app)
    .filter(({ generation }) => !living.some((alive) => sameGeneration(alive, generation)));
  for (const { app, generation } of gone) host.slots.remove(app, generation);
}

async function pruneReleases(host: Host, task: Task, state: AppState): Promise<void> {
  const { app } = state;
  if (state.stable === null) return;
  const { keep, keep_bytes } = configOf(host, app, state.stable);
  const records = host.releases.list(app);
  const doomed = toPrune(
    records.map(({ release, number, bytes, verdict }) => ({
      release,
      number,
      bytes,
      good: verdict === 'good',
    })),
    state,
    { releases: keep, bytes: keep_bytes ?? Number.POSITIVE_INFINITY },
  );
  for (const release of doomed) {
    try {
      await removeTree(host.layout.release(app, release));
    } catch (error) {
      // One odd folder must not stop the others from going: the disk would fill.
      host.log.warn({ app, release, err: error }, 'release folder could not be removed');
      continue;
    }
    host.releases.remove(app, release);
    task.tell({ type: 'release_pruned', app, deployment: task.deployment, release });
  }
}

/** Output outlives its instance, for whoever asks why it ended, but neither its release nor for ever. */
async function pruneOutput(host: Host, { app }: AppState): Promise<void> {
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

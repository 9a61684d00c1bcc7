import { type AppState, candidateOf, sameGeneration } from '../core/model.ts';
import { toPrune } from '../core/retention.ts';
import { removeTree } from '../store/atomic-file.ts';
import { configOf, type Host, type Task } from './host.ts';

/** Lets HAProxy forget what has gone, then deletes what is no longer kept. */
export async function prune(host: Host, task: Task, state: AppState): Promise<void> {
  await host.traffic.apply(host, task.signal);
  await forgetSlots(host, state);
  await pruneReleases(host, task, state);
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
  const slotsLeft = new Set(host.slots.all().map(({ spec }) => spec.slot));
  for (const release of doomed) {
    try {
      await removeTree(host.layout.release(app, release));
    } catch (error) {
      // One odd folder must not stop the others from going: the disk would fill.
      host.log.warn({ app, release, err: error }, 'release folder could not be removed');
      continue;
    }
    for (const { slot } of await outputOf(host, app, release)) {
      if (!slotsLeft.has(slot)) await host.runner.forget(slot);
    }
    host.releases.remove(app, release);
    task.tell({ type: 'release_pruned', app, deployment: task.deployment, release });
  }
}

async function outputOf(
  host: Host,
  app: string,
  release: string,
): Promise<Array<{ slot: string }>> {
  const slots = new Set(
    (await host.runner.output({ app, release }, 10_000)).map(({ slot }) => slot),
  );
  return [...slots].map((slot) => ({ slot }));
}

/** An archive is needed only until it is unpacked. */
async function pruneArtifacts(host: Host): Promise<void> {
  const wanted = new Set(
    host.journal.apps().flatMap((app) => {
      const artifact = host.journal.state(app).deployment?.artifact;
      return artifact === null || artifact === undefined ? [] : [artifact];
    }),
  );
  for (const artifact of await host.artifacts.list()) {
    if (!wanted.has(artifact)) await host.artifacts.remove(artifact);
  }
}

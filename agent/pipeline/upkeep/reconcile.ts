import {
  type AppState,
  candidateOf,
  type Generation,
  generationsOf,
  sameGeneration,
} from '../../core/model.ts';
import { startsBeforeTraffic } from '../../core/plan.ts';
import { recover } from '../../core/recover.ts';
import { extentOf, isStableDown } from '../../core/traffic.ts';
import { removeTree } from '../../store/atomic-file.ts';
import { sweepReleases } from '../../store/release-folder/release-folder.ts';
import { commandsUnderWay } from '../commands.ts';
import type { Host, HostSlot } from '../host.ts';
import { startSlots, wantedSlots } from '../instances.ts';
import { releaseCommandOf } from '../release.ts';
import { servingSlots } from '../traffic.ts';
import type { Deploys } from '../wishes/deploys.ts';

/**
 * What the daemon does when it starts: adopt what runs, start what should, make HAProxy true, then
 * finish or undo what was cut. Stable comes first: users before deployments.
 */
export async function reconcile(host: Host, deploys: Deploys, signal: AbortSignal): Promise<void> {
  await host.runner.adopt();
  await sweep(host);
  const states = host.journal.apps().map((app) => host.journal.state(app));
  await stopOrphans(host, states, signal);
  await forgetReleaseCommands(host, states, signal);
  await Promise.all(states.map((state) => reviveInstances(host, state, signal)));
  await openProxy(host, signal);
  for (const { app } of states) await recoverApp(host, deploys, app);
}

async function sweep(host: Host): Promise<void> {
  await host.artifacts.sweep();
  for (const app of host.journal.apps()) {
    await removeTree(host.layout.staging(app));
    const known = host.releases.list(app).map(({ release }) => release);
    await sweepReleases(host.layout.releases(app), known);
  }
}

/** Instances that the journal does not know: the daemon was killed between two lines. */
async function stopOrphans(
  host: Host,
  states: readonly AppState[],
  signal: AbortSignal,
): Promise<void> {
  const wanted = new Set(
    states.flatMap((state) =>
      generationsOf(state).flatMap((generation) =>
        host.slots.of(state.app, generation).map(({ spec }) => spec.slot),
      ),
    ),
  );
  const orphans = host.runner.list().filter(({ slot }) => !wanted.has(slot));
  for (const { slot, app } of orphans) {
    host.log.warn({ app, slot }, 'instance without a place in the journal is stopped');
    await host.runner.stop(slot, 10_000, signal);
  }
}

/** A release command whose deployment has ended: it was to be ended too when the daemon was killed. */
async function forgetReleaseCommands(
  host: Host,
  states: readonly AppState[],
  signal: AbortSignal,
): Promise<void> {
  for (const state of states) {
    await host.runner.forgetOnce(state.app, commandsUnderWay(host, state), signal);
  }
}

/** After a reboot nothing runs: stable is started whole, what is warm as far as it takes traffic. */
async function reviveInstances(host: Host, state: AppState, signal: AbortSignal): Promise<void> {
  const { app, stable, deployment, retiring } = state;
  const phase = deployment?.phase.name;
  const changesHands = workersInMotion(state);
  const slots: HostSlot[] = [];
  // While it is being stopped, nobody may start it again.
  if (stable !== null && phase !== 'stopping') {
    // While workers change hands, only the hand-over itself may start them: two must never run.
    const all = wantedSlots(host, state, stable);
    const rests = isStableDown(state);
    slots.push(...all.filter((slot) => (slot.takesTraffic ? !rests : !changesHands(slot))));
  }
  const candidate = deployment?.roll === undefined ? null : candidateOf(deployment.phase);
  // Of a release that others leave for, what serves is needed as stable is.
  if (candidate !== null) slots.push(...servingSlots(host, state, candidate));
  for (const { generation, phase } of retiring) {
    if (phase !== 'draining' || sameGeneration(generation, stable)) continue;
    slots.push(...host.slots.of(app, generation).filter(({ takesTraffic }) => takesTraffic));
  }
  await Promise.all(
    slots.map((slot) =>
      startSlots(host, [slot], signal).catch((error: unknown) => {
        signal.throwIfAborted();
        host.log.error({ app, slot: slot.spec.slot, err: error }, 'instance could not be started');
      }),
    ),
  );
}

/** Workers that are just being handed over, there or back; in some restarts not all of them are. */
function workersInMotion({ deployment }: AppState): (slot: HostSlot) => boolean {
  const { phase, part } = deployment ?? {};
  // One that goes back may have begun to hand them over.
  const moving = ['promoting', 'renewing', 'returning', 'reverting'].includes(phase?.name ?? '');
  return ({ process }) => moving && part?.processes.includes(process) !== false;
}

/**
 * A HAProxy that is down is no reason for the daemon to be down too: `keepTrue` goes on trying, and
 * a push is refused with the reason.
 */
async function openProxy(host: Host, signal: AbortSignal): Promise<void> {
  try {
    await host.proxy.open(signal);
    await host.traffic.apply(host, signal);
  } catch (error) {
    signal.throwIfAborted();
    host.log.error({ err: error }, 'HAProxy could not be made true; it is tried again');
  }
}

async function recoverApp(host: Host, deploys: Deploys, app: string): Promise<void> {
  const run = deploys.run(app);
  const { deployment } = run.state;
  const candidate = deployment === null ? null : candidateOf(deployment.phase);
  const recovery = recover(run.state, {
    candidateAlive: candidate !== null && isAlive(host, app, candidate),
    artifactThere: deployment?.artifact != null && host.artifacts.has(deployment.artifact),
    releaseCommand: (await isReleaseKnown(host, run.state)) ? 'known' : 'unknown',
  });
  if (recovery.decision !== 'nothing' && deployment !== null) {
    const { decision, reason } = recovery;
    host.journal.tell({ type: 'recovered', app, deployment: deployment.id, decision, reason });
  }
  if (recovery.decision !== 'nothing') await run.post(recovery.event);
  run.resume();
}

async function isReleaseKnown(host: Host, state: AppState): Promise<boolean> {
  const name = releaseCommandOf(state);
  return name !== null && (await host.runner.knowsOnce(name));
}

function isAlive(host: Host, app: string, candidate: Generation): boolean {
  const state = host.journal.state(app);
  const extent = extentOf(state, candidate);
  const slots =
    extent === null
      ? host.slots.of(app, candidate).filter(startsBeforeTraffic)
      : servingSlots(host, state, candidate);
  return (
    // One of which nobody is needed yet is begun with again.
    (slots.length > 0 || extent !== null) &&
    slots.every(({ spec }) => host.runner.status(spec.slot).state === 'running')
  );
}

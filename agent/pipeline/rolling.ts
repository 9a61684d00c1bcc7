import type { Effect } from '../core/effects.ts';
import { partly } from '../core/farewell.ts';
import type { Generation } from '../core/model.ts';
import { startsBeforeTraffic } from '../core/plan.ts';
import type { Extent } from '../core/roll.ts';
import type { Strategy } from '../core/strategy.ts';
import { percentOf } from '../core/traffic.ts';
import { tell } from '../core/verdict/verdict.ts';
import { ZddError } from '../protocol/errors.ts';
import { drain } from './drain.ts';
import { configOf, type Host, type HostSlot, type Task } from './host.ts';
import { ensureSlots, prepareApp, startSlots, stopSlots } from './instances.ts';
import { together } from './judging/together.ts';
import { watchTriggers } from './judging/triggers.ts';
import { Watch } from './judging/watch.ts';
import { pause } from './pause.ts';
import type { Performed } from './performed.ts';
import { probeSlots, shortName } from './probe.ts';
import { smoke } from './smoke.ts';
import { moveInstances } from './switch.ts';
import { trafficSlots } from './traffic.ts';

export type RollEffect = Extract<Effect, { do: 'roll' }>;

const LOOK_EVERY_MS = 200;

/**
 * One step of a release that comes instance by instance, or goes back so. From the first request on
 * the candidate is watched, in every step until it leaves.
 * @throws ZDD_PROBE_TIMEOUT, ZDD_INSTANCE_CRASHED, ZDD_SMOKE_FAILED, ZDD_GATE_FAILED, ZDD_HAPROXY_*
 */
export async function roll(host: Host, task: Task, effect: RollEffect): Promise<Performed> {
  const { candidate, attempt } = effect;
  const { admittedAt, back } = effect.roll;
  if (attempt > 1) await pause(Math.min(attempt * 250, 5_000), task.signal);
  if (back || admittedAt === null) return await takeStep(host, task, effect);
  return await together(
    task.signal,
    (signal) => takeStep(host, { ...task, signal }, effect),
    (signal, ended) => watchBeside(host, { ...task, signal }, effect, ended),
    (signal, ended) => watchTriggers(host, { ...task, signal }, candidate, ended),
  );
}

async function takeStep(host: Host, task: Task, effect: RollEffect): Promise<Performed> {
  const { deployment, candidate, roll: at } = effect;
  const done = (summary: string): Performed => ({
    event: {
      type: 'done',
      deployment,
      phase: at.back ? 'returning' : 'rolling',
      step: at.turn,
    },
    summary,
  });
  switch (at.doing) {
    case 'start':
      return done(await bringUp(host, task, effect));
    case 'admit': {
      const said = await moveInstances(host, task, candidate);
      // What stable has done so far is what the candidate is measured by, by whichever agent is there.
      await host.proxy.keepSignals();
      return done(said);
    }
    case 'watch':
      return await watchBatch(host, task, effect, done);
    case 'shed':
      return done(await moveInstances(host, task, candidate));
    case 'drain':
      return done(await seeOff(host, task, effect));
    case 'stop':
      return done(await stopBatch(host, task, effect));
  }
}

/** The release that gets more instances, and the one that gets fewer. */
function sidesOf({ candidate, previous, roll: { back, coming, staying } }: RollEffect): {
  readonly up: Generation;
  readonly upTo: Extent;
  readonly down: Generation;
  readonly downTo: Extent;
} {
  return back
    ? { up: previous, upTo: staying, down: candidate, downTo: coming }
    : { up: candidate, upTo: coming, down: previous, downTo: staying };
}

/** Starts a batch and probes each of it on its own socket; the first of a release is smoke tested too. */
async function bringUp(host: Host, task: Task, effect: RollEffect): Promise<string> {
  const { roll: at } = effect;
  const { up, upTo } = sidesOf(effect);
  const state = host.journal.state(task.app);
  const policy = state.deployment?.policy;
  if (!at.back) await prepareApp(host, task.app, configOf(host, task.app, up), task.signal);
  const slots = await ensureSlots(host, task.app, up);
  const web = slots.filter(({ takesTraffic }) => takesTraffic);
  if (!at.back) assertPlanned(web, policy?.strategy);
  const batch = web.filter(({ index }) => index > upTo.serving && index <= upTo.running);
  const isFirst = !at.back && at.admittedAt === null;
  const beside = isFirst
    ? slots.filter((slot) => !slot.takesTraffic && startsBeforeTraffic(slot))
    : [];
  const all = [...batch, ...beside];
  await startSlots(host, all, task.signal);
  const probed = await probeSlots(host, task, all, policy?.probeWithinMs ?? 30_000);
  const smoked = isFirst ? await smoke(host, task, up) : 'none';
  return `${shortOf(up)} ${probed}${smoked === 'none' ? '' : `   smoke: ${smoked}`}`;
}

/** The numbers were fixed when it began; a host's own file may have been changed since. */
function assertPlanned(web: readonly HostSlot[], strategy: Strategy | undefined): void {
  const planned = strategy?.kind === 'rolling' ? strategy.to : web.length;
  if (web.length === planned) return;
  throw new ZddError(
    'ZDD_ROLLING_IMPOSSIBLE',
    `the number of web instances changed while it began: ${web.length}, not ${planned}`,
    { tries: ['zdd-agent push'] },
  );
}

/** Watches what the candidate does with its new share, until its time is over. */
async function watchBatch(
  host: Host,
  task: Task,
  effect: RollEffect,
  done: (summary: string) => Performed,
): Promise<Performed> {
  const { deployment, roll: at } = effect;
  const { strategy } = host.journal.state(task.app).deployment?.policy ?? {};
  const until = at.since + (strategy?.kind === 'rolling' ? strategy.watchMs : 0);
  const watch = watchOf(host, task, effect);
  try {
    for (;;) {
      const seen = await watch.look();
      if (at.paused === null && seen.now >= until) {
        watch.report(seen.verdicts);
        if (seen.held === null) return done(watch.summary(seen.evidence));
        const reason = tell(seen.held);
        return { event: { type: 'paused', deployment, step: at.turn, reason }, summary: null };
      }
      await watch.rest();
    }
  } finally {
    watch.close();
  }
}

/** Watches the candidate while something else is done. */
async function watchBeside(
  host: Host,
  task: Task,
  effect: RollEffect,
  ended: AbortSignal,
): Promise<void> {
  // It watches itself.
  if (effect.roll.doing === 'watch') return;
  const watch = watchOf(host, task, effect);
  const either = AbortSignal.any([task.signal, ended]);
  try {
    while (!either.aborted) {
      await watch.look();
      await pause(LOOK_EVERY_MS, either).catch(() => undefined);
    }
  } finally {
    watch.close();
  }
}

function watchOf(host: Host, task: Task, { candidate, roll: at }: RollEffect): Watch {
  const percent = percentOf(host.journal.state(task.app), candidate);
  const since = at.admittedAt ?? host.now();
  return new Watch(host, task, { candidate, phase: 'rolling', since, percent });
}

/** Waits until nothing uses the instances that leave. */
async function seeOff(host: Host, task: Task, effect: RollEffect): Promise<string> {
  const { deployment, roll: at } = effect;
  const { down, downTo } = sidesOf(effect);
  const { policy } = host.journal.state(task.app).deployment ?? {};
  if (policy === undefined) throw new Error('nothing is being deployed');
  // One that HAProxy never knew has nobody to wait for.
  const leaving = trafficSlots(host, task.app, down).filter(
    ({ index }) => index > downTo.serving && index <= Math.min(downTo.ready, downTo.known),
  );
  if (leaving.length === 0) return `nobody on ${shortOf(down)} to wait for`;
  const phase = at.back ? 'returning' : 'rolling';
  const say: Task['tell'] = (event) => {
    task.tell(event);
    if (event.type !== 'draining') return;
    const { app, requests, websockets } = event;
    const message = `${namesOf(leaving)} of ${shortOf(down)}: ${requests} requests and ${websockets} WebSockets left`;
    task.tell({ type: 'progress', app, deployment, phase, message });
  };
  await drain(host, { ...task, tell: say }, partly(down, at, policy), leaving);
  return `${namesOf(leaving)} of ${shortOf(down)}: no connections left`;
}

/** Stops instances that nothing uses any more: HAProxy has confirmed it before they are told to end. */
async function stopBatch(host: Host, task: Task, effect: RollEffect): Promise<string> {
  const { down, downTo } = sidesOf(effect);
  await host.traffic.apply(host, task.signal, task.app);
  const web = trafficSlots(host, task.app, down);
  const over = web.filter(({ index }) => index > downTo.running);
  const ended = over.filter(({ spec }) => host.runner.status(spec.slot).state !== 'stopped');
  await stopSlots(host, over, task.signal);
  const left = downTo.running === 0 ? 'none' : `${downTo.running} of ${web.length}`;
  const names = ended.length === 0 ? '' : `${namesOf(ended)} of ${shortOf(down)} stopped, `;
  const cold = downTo.running === 0 && !effect.roll.back ? ': a rollback starts it again' : '';
  return `${names}${left} of ${shortOf(down)} left${cold}`;
}

function namesOf(slots: readonly HostSlot[]): string {
  return slots.map(shortName).join(', ');
}

/** `r42` */
function shortOf({ release }: Generation): string {
  return release.split('-')[0] ?? release;
}

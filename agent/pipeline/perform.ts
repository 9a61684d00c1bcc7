import type { Effect } from '../core/effects.ts';
import type { AppEvent } from '../core/events.ts';
import { bake } from './bake.ts';
import { canary } from './canary.ts';
import { close } from './close.ts';
import { drain, linger } from './drain.ts';
import { clear, comeBack, hold, inTime } from './hold.ts';
import type { Host, Task } from './host.ts';
import { together } from './judging/together.ts';
import { watchTriggers } from './judging/triggers.ts';
import { untilDone } from './pause.ts';
import type { Performed } from './performed.ts';
import { probe } from './probe.ts';
import { handOverWorkers } from './promote.ts';
import { prune } from './prune.ts';
import { release } from './release.ts';
import { renewWorkers, unrenewWorkers } from './renew.ts';
import { revert } from './revert.ts';
import { roll } from './rolling.ts';
import { shadow } from './shadow.ts';
import { smoke, smokeAfter } from './smoke.ts';
import { start } from './start.ts';
import { emptyOut, halt, stop } from './stop.ts';
import { admit, moveTraffic } from './switch.ts';
import { unpack } from './unpack.ts';

/** The story of a deploy, top to bottom: which verb performs which effect. */
export async function perform(host: Host, task: Task, effect: Effect): Promise<Performed> {
  const state = host.journal.state(task.app);
  switch (effect.do) {
    case 'unpack': {
      const source = state.deployment?.source ?? '';
      const unpacked = await unpack(host, task, effect.artifact, source);
      const { app, deployment } = task;
      const { release: name, reused, files, hasReleaseCommand, overriddenBy } = unpacked;
      const fixed = overriddenBy === null ? '' : `, configured by ${overriddenBy}`;
      const releasedElsewhere = state.deployment?.policy.releasedElsewhere === true;
      const left = releasedElsewhere ? '; the release command was run by another host' : '';
      task.tell({ type: 'release_created', app, deployment, release: name, reused });
      return {
        event: {
          type: 'unpacked',
          deployment: effect.deployment,
          release: name,
          hasReleaseCommand: hasReleaseCommand && !releasedElsewhere,
        },
        summary: `${name}: ${files} files${reused ? ', already on the host' : ''}${fixed}${left}`,
      };
    }
    case 'release':
      return done(effect.deployment, 'releasing', await release(host, task, effect.candidate));
    case 'start':
      return done(
        effect.deployment,
        'starting',
        await inTime(host, task, (within) => start(host, within, effect.candidate)),
      );
    case 'clear':
      return done(effect.deployment, 'clearing', await clear(host, task, effect.stable));
    case 'hold': {
      const { leaving, policy, since } = effect;
      return done(effect.deployment, 'holding', await hold(host, task, leaving, policy, since));
    }
    case 'return': {
      const { candidate, previous, policy, attempt } = effect;
      const said = await comeBack(host, task, candidate, previous, policy, attempt);
      return done(effect.deployment, 'returning', said);
    }
    case 'probe': {
      const withinMs = state.deployment?.policy.probeWithinMs ?? 30_000;
      const said = await inTime(host, task, (within, leftMs) =>
        probe(host, within, effect.candidate, Math.min(withinMs, leftMs)),
      );
      return done(effect.deployment, 'probing', said);
    }
    case 'smoke': {
      const said = await inTime(host, task, (within) => smoke(host, within, effect.candidate));
      return done(effect.deployment, 'smoking', said);
    }
    case 'admit': {
      const said = await inTime(host, task, (within) => admit(host, within, effect.candidate));
      return done(effect.deployment, 'admitting', said);
    }
    case 'shadow':
      return done(effect.deployment, 'shadowing', await shadow(host, task, effect.candidate));
    case 'canary':
      return await together(
        task.signal,
        (signal) => canary(host, { ...task, signal }, effect),
        (signal, ended) => watchTriggers(host, { ...task, signal }, effect.candidate, ended),
      );
    case 'roll':
      return await roll(host, task, effect);
    case 'switch':
      return done(effect.deployment, 'switching', await moveTraffic(host, task));
    case 'bake': {
      // Where requests waited, HAProxy is given the settings of the new release only now.
      if (state.deployment?.heldSince !== undefined)
        await host.traffic.apply(host, task.signal, task.app);
      const said = await together(
        task.signal,
        (signal) => bake(host, { ...task, signal }, effect.candidate, effect.until),
        (signal) => smokeAfter(host, { ...task, signal }, effect.candidate),
        (signal, ended) => watchTriggers(host, { ...task, signal }, effect.candidate, ended),
      );
      return done(effect.deployment, 'baking', said);
    }
    case 'promote': {
      const said = await handOverWorkers(host, task, effect.previous, effect.candidate);
      host.releases.judge(task.app, effect.candidate.release, 'good');
      return done(effect.deployment, 'promoting', said);
    }
    case 'renew': {
      const { generation, processes } = effect;
      const said = await renewWorkers(host, task, generation, processes);
      return done(effect.deployment, 'renewing', said);
    }
    case 'revert': {
      const { candidate, previous, attempt } = effect;
      const { part } = state.deployment ?? {};
      if (previous !== null && part?.takesTraffic === false) {
        const { processes } = part;
        const said = await persist(host, task, 'the way back', () =>
          unrenewWorkers(host, task, previous, processes),
        );
        return done(effect.deployment, 'reverting', said);
      }
      const said = await revert(host, task, candidate, previous, attempt);
      return done(effect.deployment, 'reverting', said);
    }
    case 'close':
      return done(effect.deployment, 'closing', await close(host, task, effect.leaving));
    case 'empty': {
      const said = await persist(host, task, 'drain', () =>
        emptyOut(host, task, effect.retirement),
      );
      return done(effect.deployment, 'draining', said);
    }
    case 'halt': {
      const said = await persist(host, task, 'stop', () => halt(host, task, effect.leaving));
      return done(effect.deployment, 'stopping', said);
    }
    case 'linger':
      await linger(host, task, effect.until);
      return quietly({ type: 'lingered', generation: effect.generation });
    case 'drain':
      await persist(host, task, 'drain', () => drain(host, task, effect.retirement));
      return quietly({ type: 'drained', generation: effect.retirement.generation });
    case 'stop':
      await persist(host, task, 'stop', () => stop(host, task, effect.generation));
      return quietly({ type: 'stopped', generation: effect.generation });
    case 'tidy':
      await persist(host, task, 'tidy', () => prune(host, task));
      return quietly({ type: 'tidied', departures: effect.departures });
  }
}

function done(
  deployment: number,
  phase: Extract<AppEvent, { type: 'done' }>['phase'],
  summary: string,
): Performed {
  return { event: { type: 'done', deployment, phase }, summary };
}

function quietly(event: AppEvent): Performed {
  return { event, summary: null };
}

/** What happens after a deployment has no failure to report to anybody: it is tried until it works. */
async function persist<T>(
  host: Host,
  { app, signal }: Task,
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  let told = '';
  return await untilDone(work, signal, (error) => {
    const message = error instanceof Error ? error.message : String(error);
    if (message === told) return;
    told = message;
    host.log.warn({ app, err: error }, `${what} is tried again`);
  });
}

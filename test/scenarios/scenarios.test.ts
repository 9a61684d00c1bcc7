import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { stepsOf } from '../../agent/core/canary.ts';
import { type Step, step } from '../../agent/core/deployment.ts';
import { type Effect, effectsOf } from '../../agent/core/effects.ts';
import type { AppEvent } from '../../agent/core/events.ts';
import {
  type AppState,
  type Deployment,
  type Generation,
  newApp,
  standingRelease,
} from '../../agent/core/model.ts';
import { recover } from '../../agent/core/recover.ts';
import { tellStep } from '../../agent/core/strategy.ts';
import { canaryShare, extentOf, percentOf, trafficOf } from '../../agent/core/traffic.ts';
import {
  ALONE,
  canaryRequested,
  failing,
  POLICY,
  requested,
  restartRequested,
  rollingRequested,
  shadowRequested,
  stopRequested,
  success,
  telling,
} from '../core/worlds.ts';

/**
 * Each `.txt` beside this file is a story: a line `> ...` is something that happens, the lines below
 * it are what the core makes of it. `ZDD_REWRITE=1 npm test` writes them anew; read the diff.
 *
 *   > push | roll back | abort | promote       what people say
 *   > push with shadow                         a push whose zdd.yaml has `shadow`
 *   > push alone                               of what may not run beside the present release
 *   > push rolling                             three instances, one more than usual at a time
 *   > push a canary | pause | resume            shadow, 5 %, hold, analyse, smoke, gate, 50 %
 *   > promote in full | retry | a gate pauses
 *   > restart | scale web=3 | stop | start     the everyday verbs
 *   > restart worker | restart web              of some process types
 *   > back to REVISION                          a rollback when no deployment runs: `r1`, warm or cold
 *   > ok VERB | ok all but VERB                 effects come back well
 *   > VERB fails                                an effect fails
 *   > SIGKILL, candidate alive | dead           the daemon is killed and starts again
 *   > SIGKILL, release command known            so it is, and the release command ran on meanwhile
 */
class Story {
  #state: AppState = newApp('shop');
  #id = 0;

  happen(line: string): string {
    const recovered = /^SIGKILL, candidate (alive|dead)$/.exec(line);
    if (recovered) return this.#crash(recovered[1] === 'alive', 'unknown');
    if (line === 'SIGKILL, release command known') return this.#crash(false, 'known');
    const allBut = /^ok all but (\w+)$/.exec(line);
    if (allBut) return this.#settle(allBut[1] ?? '');
    return this.#take(this.#event(line));
  }

  #event(line: string): AppEvent {
    if (line === 'push') return requested(this.#next());
    if (line === 'push with shadow') return shadowRequested(this.#next());
    if (line === 'push alone') return requested(this.#next(), ALONE);
    if (line === 'push a canary') return canaryRequested(this.#next());
    if (line === 'push rolling') return rollingRequested(this.#next());
    if (line === 'retry') return this.#retry();
    if (line === 'a gate pauses') return this.#gatePauses();
    const running = this.#state.deployment?.id ?? 0;
    if (line === 'promote in full') return telling(running, 'promote', true);
    const told = {
      'roll back': 'rollback',
      abort: 'abort',
      promote: 'promote',
      pause: 'pause',
      resume: 'resume',
    } as const;
    for (const [words, verb] of Object.entries(told)) {
      if (line === words) return telling(running, verb);
    }
    if (line === 'stop') return stopRequested(this.#next());
    const part = /^restart (web|worker)$/.exec(line);
    if (part) return restartRequested(this.#next(), this.#standing(), part[1] === 'web');
    const everyday = /^(restart|scale|start)(?: web=(\d+))?$/.exec(line);
    if (everyday) return this.#again(everyday[1] ?? '', Number(everyday[2] ?? 0));
    const back = /^back to (r\d+)$/.exec(line);
    if (back) return this.#backTo(back[1] ?? '');
    const ok = /^ok (\w+)$/.exec(line);
    if (ok) return success(this.#effect(ok[1] ?? ''));
    const fails = /^(\w+) fails$/.exec(line);
    const event = fails ? failing(this.#effect(fails[1] ?? '')) : null;
    if (event === null) throw new Error(`nobody knows what "${line}" means`);
    return event;
  }

  #retry(): AppEvent {
    const release = `r${this.#id}-abcdef0`;
    const id = this.#next();
    return {
      ...canaryRequested(id),
      target: { kind: 'retry', release, hasReleaseCommand: true },
    };
  }

  #gatePauses(): AppEvent {
    const { deployment } = this.#state;
    const step = deployment?.phase.name === 'canary' ? deployment.phase.step : 0;
    return { type: 'paused', deployment: deployment?.id ?? 0, step, reason: 'cannot tell' };
  }

  #backTo(revision: string): AppEvent {
    const warm = this.#state.retiring.find(({ generation }) =>
      generation.release.startsWith(`${revision}-`),
    );
    const target = warm
      ? ({ kind: 'warm', generation: warm.generation } as const)
      : ({ kind: 'release', release: `${revision}-abcdef0` } as const);
    const id = this.#next();
    return {
      type: 'requested',
      id,
      target,
      owner: 'me@laptop',
      source: '',
      policy: { ...POLICY, bakeMs: 0 },
    };
  }

  #again(verb: string, web: number): AppEvent {
    const release = this.#standing();
    const target =
      verb === 'scale'
        ? ({ kind: 'scale', release, scale: { web } } as const)
        : ({ kind: verb === 'start' ? 'start' : 'restart', release } as const);
    const policy = { ...POLICY, bakeMs: 0, warmMs: 0 };
    return {
      type: 'requested',
      id: this.#next(),
      target,
      owner: 'me@laptop',
      source: '',
      policy,
    };
  }

  #standing(): string {
    const release = standingRelease(this.#state);
    if (release === null) throw new Error('nothing has served yet');
    return release;
  }

  #next(): number {
    this.#id += 1;
    return this.#id;
  }

  #effect(verb: string): Effect {
    const effect = effectsOf(this.#state).find((candidate) => candidate.do === verb);
    if (effect === undefined) throw new Error(`"${verb}" is not under way`);
    return effect;
  }

  #settle(except: string): string {
    let told = '';
    for (;;) {
      const effect = effectsOf(this.#state).find((candidate) => candidate.do !== except);
      if (effect === undefined) return told;
      told = this.#take(success(effect));
    }
  }

  #crash(candidateAlive: boolean, releaseCommand: 'known' | 'unknown'): string {
    const observed = { candidateAlive, artifactThere: true, releaseCommand };
    const recovery = recover(this.#state, observed);
    if (recovery.decision === 'undo') {
      return `  undo: ${recovery.reason}\n${this.#take(recovery.event)}`;
    }
    if (recovery.decision === 'finish') {
      return `  finish: ${recovery.reason}\n${this.#take(recovery.event)}`;
    }
    return `  nothing to do\n${describe(step(this.#state, { type: 'tidied', departures: 0 }, 0))}`;
  }

  #take(event: AppEvent): string {
    const taken = step(this.#state, event, 0);
    this.#state = taken.state;
    return describe(taken);
  }
}

function describe({ state, effects, ended }: Step): string {
  const { deployment } = state;
  const traffic = trafficOf(state).map(
    ({ generation, weight, state: condition }) =>
      `${name(generation)} ${condition === 'leaving' ? 'leaving' : shown(state, generation, weight)}`,
  );
  const lines = [
    ended === null ? null : `#${ended.deployment.id} ${ended.outcome}`,
    deployment === null
      ? null
      : `#${deployment.id} ${deployment.phase.name}${stepText(deployment)}`,
    `stable ${state.stable === null ? 'none' : name(state.stable)}${stoppedText(state)}   traffic ${traffic.join(', ') || 'none'}`,
    `under way: ${effects.map(doing).join(', ') || 'nothing'}`,
  ];
  return lines
    .filter((line) => line !== null)
    .map((line) => `  ${line}\n`)
    .join('');
}

function stepText(deployment: Deployment): string {
  const { phase, roll } = deployment;
  if (roll !== undefined && (phase.name === 'rolling' || phase.name === 'returning')) {
    const { coming, staying, doing, paused } = roll;
    const numbers = [staying, coming].map(({ running, serving }) => `${serving} of ${running}`);
    const waits = paused === null ? '' : `, paused by a ${paused.by}`;
    return `, ${doing}: old ${numbers[0]}, new ${numbers[1]} serve${waits}`;
  }
  const step = phase.name === 'canary' ? stepsOf(deployment)[phase.step] : undefined;
  if (phase.name !== 'canary' || step === undefined) return '';
  const said = tellStep(step, (ms) => `${ms / 1_000}s`);
  return `, ${said}${phase.paused === null ? '' : `, paused by a ${phase.paused.by}`}`;
}

/** The weight, or where two share the traffic their parts of it. */
function shown(state: AppState, generation: Generation, weight: number): string {
  const whole = canaryShare(state) === null && extentOf(state, generation) === null;
  return whole ? String(weight) : `${percentOf(state, generation)} %`;
}

function stoppedText({ stopped, scale }: AppState): string {
  const numbers = Object.entries(scale).map(([process, count]) => `   ${process}=${count}`);
  return `${stopped === null ? '' : `, ${stopped.release.split('-')[0]} stopped`}${numbers.join('')}`;
}

function doing(effect: Effect): string {
  switch (effect.do) {
    case 'drain':
      return `drain ${name(effect.retirement.generation)}`;
    case 'stop':
      return `stop ${name(effect.generation)}`;
    case 'close':
    case 'halt':
      return `${effect.do} ${name(effect.leaving)}`;
    case 'empty':
      return `empty ${name(effect.retirement.generation)}`;
    default:
      return effect.do;
  }
}

/** `r1` of deployment 1, or `r1 by #3` when another deployment than its first runs it. */
function name({ release, deployment }: Generation): string {
  const revision = release.split('-')[0] ?? release;
  return revision === `r${deployment}` ? revision : `${revision} by #${deployment}`;
}

function tell(script: string): string {
  const story = new Story();
  return script
    .split('\n')
    .filter((line) => !line.startsWith('  '))
    .map((line) =>
      line.startsWith('> ') ? `${line}\n${story.happen(line.slice(2))}` : `${line}\n`,
    )
    .join('')
    .replace(/\n+$/, '\n');
}

const files = readdirSync(import.meta.dirname).filter((file) => file.endsWith('.txt'));
for (const file of files) {
  test(file.replace('.txt', '').replaceAll('-', ' '), () => {
    const path = join(import.meta.dirname, file);
    const script = readFileSync(path, 'utf8');
    const told = tell(script);
    if (process.env['ZDD_REWRITE'] === '1') writeFileSync(path, told);
    expect(told).toBe(process.env['ZDD_REWRITE'] === '1' ? told : script);
  });
}

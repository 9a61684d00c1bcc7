import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { currentCandidate, step } from '../../agent/core/deployment.ts';
import { effectsOf } from '../../agent/core/effects.ts';
import type { AppEvent } from '../../agent/core/events.ts';
import {
  type AppState,
  candidateOf,
  newApp,
  sameGeneration,
  standingRelease,
} from '../../agent/core/model.ts';
import { type Observed, recover } from '../../agent/core/recover.ts';
import {
  canaryShare,
  isHeld,
  lingering,
  percentOf,
  servingGeneration,
  trafficOf,
} from '../../agent/core/traffic.ts';
import {
  ALONE,
  again,
  canaryRequested,
  deployed,
  failing,
  PHASE_OF,
  POLICY,
  requested,
  restartRequested,
  rollingRequested,
  STAYING,
  STEPS,
  settle,
  shadowRequested,
  stopRequested,
  success,
  telling,
} from './worlds.ts';

/** One thing that may happen next, whatever the state is. */
type Move =
  | { readonly kind: 'effect'; readonly pick: number; readonly fails: boolean }
  | {
      readonly kind: 'told';
      readonly verb: 'abort' | 'rollback' | 'promote' | 'pause' | 'resume';
      readonly full: boolean;
    }
  | { readonly kind: 'gate pauses' }
  | { readonly kind: 'push'; readonly alone: boolean; readonly by: 'all' | 'canary' | 'rolling' }
  | { readonly kind: 'rollback'; readonly pick: number; readonly warm: boolean }
  | { readonly kind: 'again'; readonly verb: 'restart' | 'scale' | 'start' | 'renew' }
  | { readonly kind: 'stop' }
  | ({ readonly kind: 'crash' } & Observed);

const observation = {
  candidateAlive: fc.boolean(),
  artifactThere: fc.boolean(),
  releaseCommand: fc.constantFrom('known' as const, 'unknown' as const),
};
const observations: fc.Arbitrary<Observed> = fc.record(observation);

/** After a kill that nothing but the daemon died of. */
const SURVIVED: Observed = {
  candidateAlive: true,
  artifactThere: true,
  releaseCommand: 'unknown',
};

const move: fc.Arbitrary<Move> = fc.oneof(
  {
    // Mostly all goes well, or the walks would never come far.
    weight: 60,
    arbitrary: fc.record({
      kind: fc.constant('effect' as const),
      pick: fc.nat(5),
      fails: fc.nat(15).map((die) => die === 0),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('told' as const),
      verb: fc.constantFrom(
        'abort' as const,
        'rollback' as const,
        'promote' as const,
        'pause' as const,
        'resume' as const,
      ),
      full: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'gate pauses' as const }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('push' as const),
      alone: fc.boolean(),
      by: fc.constantFrom('all' as const, 'all' as const, 'canary' as const, 'rolling' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('rollback' as const),
      pick: fc.nat(5),
      warm: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('again' as const),
      verb: fc.constantFrom(
        'restart' as const,
        'scale' as const,
        'start' as const,
        'renew' as const,
      ),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: 'stop' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('crash' as const),
      ...observation,
    }),
  },
);

/** Bounds of several kinds. */
const ROLLS = [
  { from: 3, to: 3, surge: 1, unavailable: 0 },
  { from: 3, to: 3, surge: 0, unavailable: 1 },
  { from: 1, to: 4, surge: 1, unavailable: 0 },
  { from: 4, to: 2, surge: 0, unavailable: 0 },
  { from: 4, to: 4, surge: 2, unavailable: 1 },
] as const;

/** The event of a move in a state; null where there is none. */
function eventOf(state: AppState, made: Move, id: number): AppEvent | null {
  switch (made.kind) {
    case 'effect': {
      const effects = effectsOf(state);
      const effect = effects[made.pick % Math.max(1, effects.length)];
      if (effect === undefined) return null;
      return made.fails ? failing(effect) : success(effect);
    }
    case 'told':
      return telling(state.deployment?.id ?? 0, made.verb, made.full);
    case 'gate pauses': {
      const { deployment } = state;
      const phase = deployment?.phase;
      const at = phase?.name === 'canary' ? phase.step : deployment?.roll?.turn;
      if (deployment === null || at === undefined) return null;
      return { type: 'paused', deployment: deployment.id, step: at, reason: 'cannot tell' };
    }
    case 'push':
      if (made.alone) return { ...requested(id), policy: ALONE };
      switch (made.by) {
        case 'canary':
          return canaryRequested(id);
        case 'rolling':
          return rollingRequested(id, ROLLS[id % ROLLS.length]);
        case 'all':
          if (id % 3 === 0) return shadowRequested(id);
          return { ...requested(id), ...(id % 2 === 0 ? { policy: STAYING } : {}) };
      }
      return null;
    case 'rollback': {
      const { generation } = state.retiring[made.pick % Math.max(1, state.retiring.length)] ?? {};
      if (generation === undefined) return null;
      const target = made.warm
        ? ({ kind: 'warm', generation } as const)
        : ({ kind: 'release', release: generation.release } as const);
      return { type: 'requested', id, target, owner: 'me', source: '', policy: POLICY };
    }
    case 'again': {
      const release = standingRelease(state);
      if (release === null) return null;
      return made.verb === 'renew'
        ? restartRequested(id, release, id % 2 === 0)
        : again(id, made.verb, release);
    }
    case 'stop':
      return stopRequested(id);
    case 'crash': {
      const recovery = recover(state, made);
      return recovery.decision === 'nothing' ? null : recovery.event;
    }
  }
}

function isStop({ deployment }: AppState): boolean {
  const phase = deployment?.phase.name;
  return phase === 'closing' || phase === 'draining' || phase === 'stopping';
}

type Look = (before: AppState, after: AppState, event: AppEvent) => void;

function walk(moves: readonly Move[], look: Look): AppState {
  let state = newApp('shop');
  for (const [index, made] of moves.entries()) {
    const event = eventOf(state, made, index + 1);
    if (event === null) continue;
    const after = step(state, event, index * 1_000).state;
    look(state, after, event);
    state = after;
  }
  return state;
}

const moves = fc.array(move, { minLength: 10, maxLength: 120, size: 'max' });

test('the walks reach every phase and every kind of end', () => {
  const phases = new Set<string>();
  const outcomes = new Set<string>();
  for (const made of fc.sample(moves, { numRuns: 300, seed: 7 })) {
    walk(made, (before, after, event) => {
      phases.add(after.deployment?.phase.name ?? 'none');
      const { ended } = step(before, event, 0);
      if (ended !== null) outcomes.add(ended.outcome);
    });
  }
  expect([...phases].toSorted()).toEqual(
    ['none', 'unpacking', ...Object.values(PHASE_OF)]
      .filter((name, index, all) => all.indexOf(name) === index)
      .toSorted(),
  );
  expect([...outcomes].toSorted()).toEqual(['aborted', 'failed', 'rolled_back', 'succeeded']);
});

describe('whatever happens, in whatever order, crashes included', () => {
  test('an app that had a serving release always has one, until the end of an explicit stop', () => {
    fc.assert(
      fc.property(moves, (made) => {
        walk(made, (before, after) => {
          if (before.stable !== null && after.stable === null) {
            expect(before.deployment).toMatchObject({ kind: 'stop', phase: { name: 'stopping' } });
            expect(after.stopped?.release).toBe(before.stable.release);
          }
          if (after.stable !== null && !isStop(after) && !isHeld(after)) {
            expect(servingGeneration(after)).not.toBeNull();
          }
        });
      }),
      { numRuns: 500 },
    );
  });

  test('weights sum to something positive while traffic is expected, on one generation, or two that roll', () => {
    fc.assert(
      fc.property(moves, (made) => {
        walk(made, (_before, after) => {
          if (after.stable === null || isStop(after)) return;
          const full = trafficOf(after).filter(({ weight }) => weight > 0);
          const roll = after.deployment?.roll;
          const shared = (roll?.coming.serving ?? 0) > 0 && (roll?.staying.serving ?? 0) > 0;
          expect(full).toHaveLength(isHeld(after) ? 0 : shared ? 2 : 1);
          for (const share of full) expect(share.state).toBe('ready');
        });
      }),
      { numRuns: 500 },
    );
  });

  test('a generation that serves, or served until now, is never being stopped', () => {
    fc.assert(
      fc.property(moves, (made) => {
        walk(made, (before, after) => {
          for (const effect of effectsOf(after)) {
            if (effect.do !== 'stop' && effect.do !== 'halt') continue;
            const ending = effect.do === 'stop' ? effect.generation : effect.leaving;
            expect(sameGeneration(ending, servingGeneration(after))).toBe(false);
            // Only a stop that was asked for ends the instances of stable.
            expect(sameGeneration(ending, after.stable)).toBe(effect.do === 'halt');
            if (effect.do === 'halt') expect(after.deployment?.kind).toBe('stop');
            // It has left the traffic a step before: HAProxy had the time to be told.
            expect(sameGeneration(ending, servingGeneration(before))).toBe(false);
          }
        });
      }),
      { numRuns: 500 },
    );
  });

  test('what HAProxy may send requests to is stopped only after it was drained', () => {
    fc.assert(
      fc.property(moves, (made) => {
        walk(made, (before, after, event) => {
          for (const effect of effectsOf(after)) {
            if (effect.do === 'halt' && before.deployment?.phase.name !== 'stopping') {
              expect(event).toMatchObject({ type: 'done', phase: 'draining' });
            }
            if (effect.do !== 'stop') continue;
            const share = trafficOf(before).find(({ generation }) =>
              sameGeneration(generation, effect.generation),
            );
            if (share?.state !== 'ready') continue;
            expect(event).toEqual({ type: 'drained', generation: effect.generation });
          }
        });
      }),
      { numRuns: 500 },
    );
  });

  test('between two that may not run side by side, requests wait', () => {
    let moved = 0;
    fc.assert(
      fc.property(moves, (made) => {
        walk(made, (before, after) => {
          const { deployment } = before;
          if (deployment?.policy.holdMs === undefined || before.stable === null) return;
          const [from, to] = [servingGeneration(before), servingGeneration(after)];
          if (from !== null && to !== null) expect(sameGeneration(from, to)).toBe(true);
          if (from === null && to !== null) {
            moved += 1;
            const { deployment: going } = after;
            const pair = [after.stable, going === null ? null : candidateOf(going.phase)];
            const other = trafficOf(after).find(
              ({ generation }) =>
                !sameGeneration(generation, to) &&
                pair.some((one) => sameGeneration(one, generation)),
            );
            expect(other?.state ?? 'leaving').toBe('leaving');
          }
        });
      }),
      { numRuns: 500 },
    );
    expect(moved).toBeGreaterThan(30);
  });

  test('whose users may stay is not seen off before they were told to move', () => {
    let lingered = 0;
    fc.assert(
      fc.property(moves, (made) => {
        walk(made, (before, after, event) => {
          const stay = lingering(before).filter((one) => !sameGeneration(one, before.stable));
          for (const generation of stay) {
            lingered += 1;
            const draining = effectsOf(before).filter(
              (effect) =>
                effect.do === 'drain' && sameGeneration(effect.retirement.generation, generation),
            );
            expect(draining).toEqual([]);
            const left = after.retiring.every((one) => !sameGeneration(one.generation, generation));
            // Taken up again by a rollback, or told to move first.
            if (left) expect(event).toMatchObject({ type: 'requested', target: { kind: 'warm' } });
          }
        });
      }),
      // Only some walks have such releases.
      { numRuns: 10_000 },
    );
    expect(lingered).toBeGreaterThan(10);
  });

  test('numbers of instances change by the success of a scale, and by nothing else', () => {
    fc.assert(
      fc.property(moves, (made) => {
        walk(made, (before, after) => {
          if (after.scale === before.scale) return;
          const { deployment } = before;
          expect(deployment?.phase.name).toBe('promoting');
          expect(after.scale).toEqual(deployment?.scale);
          if (deployment?.kind !== 'scale') expect(after.scale).toEqual(before.scale);
        });
      }),
      { numRuns: 200 },
    );
  });

  test('no state is without a way out: when effects succeed, all of them end', () => {
    fc.assert(
      fc.property(moves, (made) => {
        const state = settle(walk(made, () => undefined));
        expect(state.deployment).toBeNull();
        expect(state.retiring).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test('the share of a candidate changes by the steps of its canary alone, and ends with it', () => {
    fc.assert(
      fc.property(moves, (made) => {
        walk(made, (before, after) => {
          const share = canaryShare(after);
          if (share === null) return;
          expect(after.stable).not.toBeNull();
          expect(sameGeneration(share.candidate, currentCandidate(after))).toBe(true);
          expect(percentOf(after, share.candidate)).toBe(share.percent);
          // Whoever is not on the candidate is on stable: nobody is nowhere.
          if (after.stable !== null) {
            expect(percentOf(after, after.stable)).toBe(100 - share.percent);
          }
          const was = canaryShare(before)?.percent ?? 0;
          if (share.percent === was) return;
          const { deployment } = after;
          const step = deployment?.phase.name === 'canary' ? deployment.phase.step : -1;
          expect(STEPS[step]).toEqual({ do: 'weight', percent: share.percent });
        });
      }),
      { numRuns: 500 },
    );
  });

  test('a generation has one role at a time', () => {
    fc.assert(
      fc.property(moves, (made) => {
        walk(made, (_before, after) => {
          const names = trafficOf(after).map(({ generation }) => JSON.stringify(generation));
          expect(new Set(names).size).toBe(names.length);
          for (const { generation } of after.retiring) {
            expect(sameGeneration(generation, after.stable)).toBe(false);
            expect(sameGeneration(generation, currentCandidate(after))).toBe(false);
          }
        });
      }),
      { numRuns: 500 },
    );
  });
});

describe('recovery', () => {
  test('converges from a cut at every entry of every journal', () => {
    fc.assert(
      fc.property(moves, observations, (made, observed) => {
        const entries: AppState[] = [];
        walk(made, (_before, after) => entries.push(after));
        for (const entry of entries) {
          const recovery = recover(entry, observed);
          const resumed =
            recovery.decision === 'nothing' ? entry : step(entry, recovery.event, 0).state;
          const settled = settle(resumed);
          expect(settled.deployment).toBeNull();
          if (entry.stable === null) continue;
          // A stop that was cut is finished: it was asked for.
          if (isStop(entry)) expect(settled.stopped?.release).toBe(entry.stable.release);
          else expect(settled.stable).not.toBeNull();
        }
      }),
      { numRuns: 200 },
    );
  });

  test('bakes anew after the daemon was away: nobody watched meanwhile', () => {
    let state = step(deployed(1), requested(3), 0).state;
    while (state.deployment !== null && state.deployment.phase.name !== 'baking') {
      const [effect] = effectsOf(state);
      if (effect === undefined) throw new Error('stuck');
      state = step(state, success(effect), 0).state;
    }
    const later = 10 * POLICY.bakeMs;
    const recovery = recover(state, SURVIVED);
    if (recovery.decision !== 'finish') throw new Error('not finished');
    const resumed = step(state, recovery.event, later).state;
    expect(resumed.deployment?.phase).toMatchObject({
      name: 'baking',
      until: later + POLICY.bakeMs,
    });
  });

  test('never runs a release command a second time', () => {
    const releasing = step(
      step(newApp('shop'), requested(2), 0).state,
      { type: 'unpacked', deployment: 2, release: 'r1-abc', hasReleaseCommand: true },
      0,
    ).state;
    expect(effectsOf(releasing).map((effect) => effect.do)).toEqual(['release']);
    const recovery = recover(releasing, SURVIVED);
    expect(recovery.decision).toBe('undo');
    // One that ran on without the daemon is waited for: the effect of the same phase, as it stands.
    const known = recover(releasing, { ...SURVIVED, releaseCommand: 'known' });
    if (known.decision !== 'finish') throw new Error('not finished');
    expect(step(releasing, known.event, 0).state).toEqual(releasing);
  });
});

describe('verbs that come too late or twice', () => {
  test('abort with nothing in progress changes nothing', () => {
    const state = deployed(1);
    expect(step(state, telling(1, 'abort'), 0).state).toEqual(state);
  });

  test('what was meant for an earlier deployment changes nothing', () => {
    const { state } = step(deployed(1), requested(2), 0);
    expect(step(state, telling(1, 'abort'), 0).state).toEqual(state);
    expect(step(state, telling(2, 'abort'), 0).state).not.toEqual(state);
  });

  test('a second push while one runs changes nothing', () => {
    const { state } = step(deployed(1), requested(2), 0);
    expect(step(state, requested(3), 0).state).toEqual(state);
  });

  test('a late answer of an effect that was given up changes nothing', () => {
    const begun = step(deployed(1), requested(2), 0).state;
    const aborted = step(begun, telling(2, 'abort'), 0).state;
    const late = step(
      aborted,
      { type: 'unpacked', deployment: 2, release: 'r9-fff', hasReleaseCommand: false },
      0,
    );
    expect(late.state).toEqual(aborted);
  });

  test('promote while it bakes skips the rest of the bake', () => {
    let state = step(deployed(1), requested(2), 0).state;
    while (state.deployment !== null && state.deployment.phase.name !== 'baking') {
      const [effect] = effectsOf(state);
      if (effect === undefined) throw new Error('stuck');
      state = step(state, success(effect), 0).state;
    }
    const promoted = step(state, telling(2, 'promote'), 0).state;
    expect(promoted.deployment?.phase.name).toBe('promoting');
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { step } from '../../agent/core/deployment.ts';
import { effectsOf } from '../../agent/core/effects.ts';
import type { AppEvent } from '../../agent/core/events.ts';
import { type AppState, type Generation, sameGeneration } from '../../agent/core/model.ts';
import { recover } from '../../agent/core/recover.ts';
import { type Extent, hasRoom, type Roll } from '../../agent/core/roll.ts';
import type { Rolling } from '../../agent/core/strategy.ts';
import { percentOf, standingOf, trafficOf } from '../../agent/core/traffic.ts';
import { deployed, failing, rollingRequested, settle, success, telling } from './worlds.ts';

/** What may be in the way of a rolling deployment. */
type Move =
  | 'goes well'
  | 'fails'
  | 'abort'
  | 'rollback'
  | 'promote'
  | 'promote in full'
  | 'pause'
  | 'resume'
  | 'SIGKILL'
  | 'SIGKILL, candidate dead';

const bounds = fc
  .record({
    from: fc.integer({ min: 1, max: 6 }),
    to: fc.integer({ min: 1, max: 6 }),
    surge: fc.nat(3),
    unavailable: fc.nat(3),
  })
  .filter((each) => hasRoom({ kind: 'rolling', watchMs: 0, ...each }));

const moves = fc.array(
  fc.oneof(
    { weight: 30, arbitrary: fc.constant<Move>('goes well') },
    {
      weight: 4,
      arbitrary: fc.constantFrom<Move>(
        'fails',
        'abort',
        'rollback',
        'promote',
        'promote in full',
        'pause',
        'resume',
        'SIGKILL',
        'SIGKILL, candidate dead',
      ),
    },
  ),
  { maxLength: 80, size: 'max' },
);

function eventOf(state: AppState, move: Move): AppEvent | null {
  switch (move) {
    case 'goes well':
    case 'fails': {
      const [effect] = effectsOf(state);
      if (effect === undefined) return null;
      return move === 'fails' ? failing(effect) : success(effect);
    }
    case 'SIGKILL':
    case 'SIGKILL, candidate dead': {
      const candidateAlive = move === 'SIGKILL';
      const found = recover(state, {
        candidateAlive,
        artifactThere: true,
        releaseCommand: 'unknown',
      });
      return found.decision === 'nothing' ? null : found.event;
    }
    case 'promote in full':
      return telling(state.deployment?.id ?? 0, 'promote', true);
    default:
      return telling(state.deployment?.id ?? 0, move);
  }
}

/** Plays the moves on an app with one release, then lets all go well to the end. */
function play(
  rolling: Parameters<typeof rollingRequested>[1],
  made: readonly Move[],
  look: (before: AppState, after: AppState, event: AppEvent) => void,
): AppState {
  let state = step(deployed(1), rollingRequested(3, rolling), 0).state;
  const go = (event: AppEvent, now: number): void => {
    const after = step(state, event, now).state;
    look(state, after, event);
    state = after;
  };
  for (const [index, move] of made.entries()) {
    const event = eventOf(state, move);
    if (event !== null) go(event, index * 1_000);
  }
  for (let turns = 0; ; turns += 1) {
    expect(turns).toBeLessThan(500);
    const [effect] = effectsOf(state);
    if (effect === undefined) return state;
    go(success(effect), 1_000_000 + turns * 1_000);
  }
}

function rollOf({ deployment }: AppState): { roll: Roll; rolling: Rolling } | null {
  const strategy = deployment?.policy.strategy;
  if (deployment?.roll === undefined || strategy?.kind !== 'rolling') return null;
  return { roll: deployment.roll, rolling: strategy };
}

/** Instances that HAProxy sends new requests to. */
function serving(state: AppState, generation: Generation, total: number): number {
  const share = trafficOf(state).find((each) => sameGeneration(each.generation, generation));
  if (share === undefined) return 0;
  return Array.from({ length: total }, (_, index) => standingOf(share, index + 1)).filter(
    (standing) => standing !== null && standing.state === 'ready' && standing.weight > 0,
  ).length;
}

describe('whatever happens to a rolling deployment, crashes included', () => {
  test('no more instances run than may, and no fewer take requests', () => {
    let seen = 0;
    fc.assert(
      fc.property(bounds, moves, (rolling, made) => {
        play(rolling, made, (_before, after) => {
          const found = rollOf(after);
          if (found === null || after.stable === null || after.deployment === null) return;
          seen += 1;
          const { roll } = found;
          // What a reader of zdd.yaml expects, not what the code makes of it.
          const { from, to, surge, unavailable } = found.rolling;
          const most = Math.max(from, to) + surge;
          const least = Math.max(1, Math.min(from, to) - unavailable);
          expect(roll.coming.running + roll.staying.running).toBeLessThanOrEqual(most);
          const candidate: Generation = { release: 'r3-abcdef0', deployment: 3 };
          const all =
            serving(after, after.stable, rolling?.from ?? 0) +
            serving(after, candidate, rolling?.to ?? 0);
          expect(all).toBeGreaterThanOrEqual(least);
          expect(all).toBe(roll.coming.serving + roll.staying.serving);
          expect(percentOf(after, candidate)).toBe(Math.round((100 * roll.coming.serving) / all));
        });
      }),
      { numRuns: 1_000 },
    );
    expect(seen).toBeGreaterThan(10_000);
  });

  test('an instance has traffic after it was probed, and ends after it was drained', () => {
    let stopped = 0;
    fc.assert(
      fc.property(bounds, moves, (rolling, made) => {
        play(rolling, made, (before, after, event) => {
          const [was, is] = [rollOf(before), rollOf(after)];
          if (was === null || is === null) return;
          const sides = [
            [was.roll.coming, is.roll.coming],
            [was.roll.staying, is.roll.staying],
          ] as const;
          for (const [then, now] of sides) {
            ordered(now);
            if (now.serving > then.serving) {
              expect(was.roll.doing).toBe('start');
              expect(event).toMatchObject({ type: 'done', step: was.roll.turn });
              expect(now.serving).toBe(then.running);
            }
            if (now.running < then.running) {
              stopped += 1;
              expect(was.roll.doing).toBe('drain');
              expect(event).toMatchObject({ type: 'done', step: was.roll.turn });
              expect(now.running).toBe(then.serving);
            }
          }
        });
      }),
      { numRuns: 1_000 },
    );
    expect(stopped).toBeGreaterThan(1_000);
  });

  test('it ends, whole on one release, and the other has gone', () => {
    const outcomes = new Set<string>();
    fc.assert(
      fc.property(bounds, moves, (rolling, made) => {
        const end = play(rolling, made, (before, after, event) => {
          const { ended } = step(before, event, 0);
          if (ended === null) return;
          outcomes.add(ended.outcome);
          const { roll } = ended.deployment;
          if (roll === undefined) return;
          const good = ended.outcome === 'succeeded';
          const stays = good ? roll.coming : roll.staying;
          const total = good ? rolling?.to : rolling?.from;
          expect([stays.running, stays.ready, stays.serving]).toEqual([total, total, total]);
          expect(after.stable?.deployment).toBe(good ? 3 : 1);
          // What has gone instance by instance has nobody left to wait for.
          expect(after.retiring.map(({ phase }) => phase)).toEqual(['stopping']);
        });
        expect(end.deployment).toBeNull();
        expect(end.retiring).toEqual([]);
      }),
      { numRuns: 1_000 },
    );
    expect([...outcomes].toSorted()).toEqual(['aborted', 'failed', 'rolled_back', 'succeeded']);
  });

  test('a failure before anything was touched ends it at once', () => {
    const begun = step(deployed(1), rollingRequested(3), 0).state;
    const [unpack] = effectsOf(begun);
    const first = step(begun, success(unpack ?? fail()), 0).state;
    expect(first.deployment?.roll).toMatchObject({
      doing: 'start',
      coming: { running: 1, serving: 0 },
      staying: { running: 3, serving: 3 },
    });
    const [start] = effectsOf(first);
    const { ended, state } = step(first, failing(start ?? fail()) ?? fail(), 0);
    expect(ended?.outcome).toBe('failed');
    expect(settle(state).stable?.deployment).toBe(1);
  });

  test('what is told of a step that was left meanwhile leads nowhere', () => {
    const state = step(deployed(1), rollingRequested(3), 0).state;
    const [unpack] = effectsOf(state);
    const first = step(state, success(unpack ?? fail()), 0).state;
    const late: AppEvent = { type: 'done', deployment: 3, phase: 'rolling', step: 0 };
    expect(step(first, late, 0).state).toBe(first);
  });
});

function ordered({ running, ready, serving: taking, known }: Extent): void {
  expect(taking).toBeGreaterThanOrEqual(0);
  expect(taking).toBeLessThanOrEqual(ready);
  expect(ready).toBeLessThanOrEqual(running);
  expect(ready).toBeLessThanOrEqual(known);
}

function fail(): never {
  throw new Error('there is no effect');
}

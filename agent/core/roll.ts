import type { Paused } from './paused.ts';
import type { Rolling } from './strategy.ts';

/**
 * One release taken over by another instance by instance. Instances of a release come in the order of
 * their index and leave in the reverse, so how far one has come is a few numbers.
 */

/** How far the web instances of a generation have come; each number counts from the first. */
export interface Extent {
  /** That shall run. */
  readonly running: number;
  /** Of these, that HAProxy may use. */
  readonly ready: number;
  /** Of these, that take new requests. */
  readonly serving: number;
  /** That HAProxy has known, the stopped ones too: these it shall not use, and must not have forgotten. */
  readonly known: number;
}

/** What is done with a few instances: the first two with those that come, the last three with those that go. */
export type RollStep = 'start' | 'admit' | 'watch' | 'shed' | 'drain' | 'stop';

/** How far a rolling deployment has come. */
export interface Roll {
  readonly coming: Extent;
  readonly staying: Extent;
  readonly doing: RollStep;
  /** Counts the steps: what is told of another one comes too late. */
  readonly turn: number;
  /** When the present step began. */
  readonly since: number;
  /** When the candidate got its first request; null: it has had none. */
  readonly admittedAt: number | null;
  /** The instances of stable come back, those of the candidate leave. */
  readonly back: boolean;
  /** From the next look at the candidate on it stays as it is. */
  readonly paused: Paused | null;
}

const NONE: Extent = { running: 0, ready: 0, serving: 0, known: 0 };

/** Stable is whole, nothing of the candidate runs; and the first step from there. */
export function firstRoll(rolling: Rolling, now: number): Roll | null {
  const { from } = rolling;
  const whole: Extent = { running: from, ready: from, serving: from, known: from };
  const begin: Roll = {
    coming: NONE,
    staying: whole,
    doing: 'watch',
    turn: 0,
    since: now,
    admittedAt: null,
    back: false,
    paused: null,
  };
  return decide(rolling, begin, now);
}

/** What follows a step that was done; null when one release runs and nothing of the other. */
export function nextRoll(rolling: Rolling, roll: Roll, now: number): Roll | null {
  const { up, down } = sidesOf(roll);
  switch (roll.doing) {
    case 'start': {
      const { running } = up;
      const known = Math.max(up.known, running);
      const admittedAt = roll.back ? roll.admittedAt : (roll.admittedAt ?? now);
      const admitted = { ...up, ready: running, serving: running, known };
      return to({ ...roll, admittedAt }, 'admit', { up: admitted }, now);
    }
    case 'admit':
      // With the last one the bake begins.
      return roll.back || isOver(rolling, roll)
        ? decide(rolling, roll, now)
        : to(roll, 'watch', {}, now);
    case 'drain': {
      const { serving } = down;
      return to(roll, 'stop', { down: { ...down, running: serving, ready: serving } }, now);
    }
    case 'watch':
    case 'shed':
    case 'stop':
      return decide(rolling, roll, now);
  }
}

/** The first step of the way back, from wherever it stands; null when there is none to do. */
export function turnBack(rolling: Rolling, roll: Roll, now: number): Roll | null {
  return decide(rolling, { ...roll, back: true, paused: null }, now);
}

/** Whether nothing of stable has been touched, and nothing of the candidate been seen. */
export function isUntouched({ coming, staying }: Roll): boolean {
  return coming.known === 0 && staying.serving === staying.known;
}

/** The bounds of a rolling deployment. */
function boundsOf({ from, to: target, surge, unavailable }: Rolling): {
  /** Instances that run at a time, at most. */
  readonly most: number;
  /** Instances that take new requests, at least. */
  readonly least: number;
} {
  return {
    most: Math.max(from, target) + surge,
    least: Math.max(1, Math.min(from, target) - unavailable),
  };
}

/** Whether these bounds leave room for a first step. */
export function hasRoom({ from, to: target, surge, unavailable }: Rolling): boolean {
  return from !== target || surge + Math.min(unavailable, from - 1) > 0;
}

/**
 * The next batch. On the way there what can come comes first, and what has lost its traffic is gone
 * before more lose theirs; on the way back the first thing is that users leave the candidate.
 */
function decide(rolling: Rolling, roll: Roll, now: number): Roll | null {
  if (isOver(rolling, roll)) return null;
  const { up, down } = sidesOf(roll);
  const { most, least } = boundsOf(rolling);
  const total = roll.back ? rolling.from : rolling.to;
  const grow = Math.min(total - up.running, most - up.running - down.running);
  const shed = Math.min(down.serving, up.serving + down.serving - least);
  const start = (): Roll =>
    to(roll, 'start', { up: { ...up, running: up.running + Math.max(0, grow) } }, now);
  const lighten = (): Roll =>
    to(roll, 'shed', { down: { ...down, serving: down.serving - shed } }, now);
  if (roll.back && shed > 0) return lighten();
  if (grow > 0 || up.serving < up.running) return start();
  if (down.running > down.serving) return to(roll, 'drain', {}, now);
  return shed > 0 ? lighten() : null;
}

function isOver(rolling: Rolling, roll: Roll): boolean {
  const { up, down } = sidesOf(roll);
  return up.serving === (roll.back ? rolling.from : rolling.to) && down.running === 0;
}

interface Sides {
  /** The release that gets more instances, */
  readonly up: Extent;
  /** and the one that gets fewer. */
  readonly down: Extent;
}

function sidesOf({ coming, staying, back }: Roll): Sides {
  return back ? { up: staying, down: coming } : { up: coming, down: staying };
}

function to(roll: Roll, doing: RollStep, changed: Partial<Sides>, now: number): Roll {
  const { up, down } = { ...sidesOf(roll), ...changed };
  const [coming, staying] = roll.back ? [down, up] : [up, down];
  return { ...roll, coming, staying, doing, turn: roll.turn + 1, since: now };
}

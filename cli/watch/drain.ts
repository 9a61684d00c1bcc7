import { setTimeout as pause } from 'node:timers/promises';
import type { AppStatus, GenerationStatus } from '../../agent/protocol/api.ts';
import type { Agent } from '../connect/agent.ts';
import { passes } from '../connect/follow.ts';
import type { Context } from '../context.ts';
import { untilReaderLeaves } from '../read/reader.ts';
import { age, count, shortRelease } from '../render/amounts.ts';

const LOOK_EVERY_MS = 500;
/** Where lines do not move, one is printed this often at most, ms. */
const SAY_EVERY_MS = 5_000;
/** As long as a restart of the agent may take, ms. */
const OUTAGE_MS = 60_000;

/** One old release and what still uses it, as `--json` prints it. */
export interface Drain {
  readonly schemaVersion: 1;
  readonly app: string;
  readonly release: string;
  /** The release that serves instead. */
  readonly to: string | null;
  /** `gone` once nothing of it is left, `serving` when a rollback has taken it up again. */
  readonly state: 'warm' | 'draining' | 'stopping' | 'gone' | 'serving';
  readonly requests: number | null;
  readonly websockets: number | null;
  readonly streams: number | null;
  /** From when connections that stay are closed, ms since the epoch; null when that is not known. */
  readonly closeFrom: number | null;
  readonly pacePerSecond: number | null;
  readonly warmUntil: number | null;
}

/**
 * Watches old releases until nothing uses them any more. One that is only kept warm is not waited
 * for. @returns the exit code
 */
export async function watchDrain(context: Context, named: string | undefined): Promise<number> {
  const { screen, globals } = context;
  const agent = await context.agent();
  const app = named ?? globals.app;
  return untilReaderLeaves(context, async (signal) => {
    const board = openBoard(context);
    try {
      for (;;) {
        const apps = await look(agent, app, signal);
        const now = Date.now();
        const drains = apps.flatMap(drainsOf);
        board.show(drains, apps, now);
        if (!drains.some(isBusy)) break;
        await pause(LOOK_EVERY_MS, undefined, { signal });
      }
    } finally {
      board.close();
    }
    screen.data(board.shown() ? 'nothing is left to drain' : 'nothing drains');
  });
}

/** Once it was there, an agent that restarts is waited for. */
async function look(
  agent: Agent,
  app: string | undefined,
  signal: AbortSignal,
): Promise<readonly AppStatus[]> {
  const end = Date.now() + OUTAGE_MS;
  for (;;) {
    try {
      return app === undefined ? (await agent.status(signal)).apps : [await agent.app(app, signal)];
    } catch (cause) {
      signal.throwIfAborted();
      if (!passes(cause) || Date.now() > end) throw cause;
      await pause(LOOK_EVERY_MS, undefined, { signal });
    }
  }
}

function drainsOf(app: AppStatus): Drain[] {
  return app.generations.flatMap((generation) => {
    const { role } = generation;
    if (role !== 'warm' && role !== 'draining' && role !== 'stopping') return [];
    return [drainOf(app, generation, role)];
  });
}

function drainOf(
  { app, live }: AppStatus,
  { release, requests, websockets, streams, drain, warmUntil }: GenerationStatus,
  state: Drain['state'],
): Drain {
  return {
    schemaVersion: 1,
    app,
    release,
    to: live,
    state,
    requests,
    websockets,
    streams: streams ?? null,
    closeFrom: drain?.closeFrom ?? null,
    pacePerSecond: drain?.pacePerSecond ?? null,
    warmUntil,
  };
}

function isBusy(drain: Drain): boolean {
  return drain.state !== 'warm' || held(drain) > 0;
}

function held({ requests, websockets, streams }: Drain): number {
  return (requests ?? 0) + (websockets ?? 0) + (streams ?? 0);
}

/** Where the state of each old release is shown: on lines that move, or on one now and then. */
function openBoard({ screen }: Context) {
  const last = new Map<string, { text: string; at: number; drain: Drain }>();
  let painted = 0;
  let shown = false;
  const erase = () => {
    if (painted > 0) screen.raw(`\u001b[${painted}A\u001b[0J`);
    painted = 0;
  };
  return {
    show(drains: readonly Drain[], apps: readonly AppStatus[], now: number) {
      shown ||= drains.length > 0;
      const present = new Set(drains.map(keyOf));
      erase();
      for (const [key, { drain }] of last) {
        if (present.has(key)) continue;
        last.delete(key);
        const serves = apps.some(
          ({ app, generations }) =>
            app === drain.app && generations.some(({ release }) => release === drain.release),
        );
        const none = { requests: 0, websockets: 0, streams: 0 };
        screen.value(
          serves ? { ...drain, state: 'serving' } : { ...drain, ...none, state: 'gone' },
        );
        screen.data(`${drain.app}  ${drain.release} ${serves ? 'serves again' : 'is gone'}`);
      }
      for (const drain of drains) {
        const key = keyOf(drain);
        const text = JSON.stringify(drain);
        const before = last.get(key);
        const news = before?.text !== text;
        const due = before === undefined || now - before.at >= SAY_EVERY_MS;
        if (news) screen.value(drain);
        if (news && due && !screen.live) screen.data(drainLine(drain, now));
        last.set(key, { text, at: news && due ? now : (before?.at ?? now), drain });
      }
      if (!screen.live) return;
      for (const drain of drains) screen.raw(`${drainLine(drain, now)}\n`);
      painted = drains.length;
    },
    shown: () => shown,
    close: erase,
  };
}

function keyOf({ app, release }: Drain): string {
  return `${app} ${release}`;
}

/** `shop  r41 → r42    requests 0    WebSockets 212    50/s    about 4s left` */
export function drainLine(drain: Drain, now: number): string {
  const { app, release, to, requests, websockets, streams } = drain;
  const parts = [
    `${app}  ${shortRelease(release)} → ${to === null ? '–' : shortRelease(to)}`,
    requests === null ? '' : `requests ${count(requests)}`,
    websockets === null ? '' : `WebSockets ${count(websockets)}`,
    (streams ?? 0) === 0 ? '' : `streams ${count(streams ?? 0)}`,
    ...leftTexts(drain, now),
  ];
  return parts.filter((part) => part !== '').join('    ');
}

/** Requests end by themselves; only of what is closed at a pace the end is known. */
function leftTexts(drain: Drain, now: number): string[] {
  const { websockets, streams, closeFrom, pacePerSecond, warmUntil, state } = drain;
  const long = (websockets ?? 0) + (streams ?? 0);
  if (state === 'stopping') return ['stopping'];
  if (long > 0 && closeFrom !== null && pacePerSecond !== null) {
    const waits = Math.max(0, closeFrom - now);
    const closes = Math.ceil(long / pacePerSecond) * 1_000;
    const pace = `${pacePerSecond}/s${waits === 0 ? '' : ` in ${age(waits)}`}`;
    return [pace, `about ${age(waits + closes)} left`];
  }
  if (state !== 'warm' || warmUntil === null || held(drain) > 0) return [];
  return [`warm for ${age(warmUntil - now)}`];
}

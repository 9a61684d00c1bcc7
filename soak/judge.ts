import type { ZddEvent } from '../agent/protocol/events.ts';
import type { RequestRecord } from '../load/outcome.ts';
import type { WebSocketClose } from '../load/websocket.ts';
import type { Outage } from './disturbances.ts';

/** What lies between the look at the number of workers and what the agent did for it, ms. */
const CROWDED_SLACK_MS = 3_000;
/** A close is seen here a moment after it was done, ms. */
const STOP_SLACK_MS = 1_000;
/** Longer than any drain here takes from its deadline on, ms. */
const LONGEST_MS = 45_000;

/** A look at the workers of HAProxy. */
export interface WorkersSeen {
  readonly at: number;
  readonly workers: number;
}

/** Why the server side may have closed a WebSocket. */
export type CloseCause = 'drain' | 'outage' | 'room' | 'none';

/** Whether a request was under way while HAProxy was dead: nobody can save those. Pure. */
export function metOutage(
  { start, end }: Pick<RequestRecord, 'start' | 'end'>,
  outages: readonly Outage[],
): boolean {
  return outages.some(({ fromMs, toMs }) => end >= fromMs && start <= toMs);
}

/**
 * Says of each WebSocket whose close it was. Pure.
 * @param limit as many old workers as may stand: while they do, the oldest one's are closed for room
 */
export function closeJudge(
  events: readonly ZddEvent[],
  outages: readonly Outage[],
  seen: readonly WorkersSeen[],
  limit: number,
): (close: WebSocketClose) => CloseCause {
  const due = dueTimes(events);
  const crowded = seen.filter(({ workers }) => workers - 1 >= limit).map(({ at }) => at);
  return (close) => {
    const { release, closedAt } = close;
    if (outages.some(({ fromMs, toMs }) => closedAt >= fromMs && closedAt <= toMs)) return 'outage';
    if (
      (due.get(release) ?? []).some(({ fromMs, toMs }) => closedAt >= fromMs && closedAt <= toMs)
    ) {
      return 'drain';
    }
    return crowded.some((at) => Math.abs(at - closedAt) <= CROWDED_SLACK_MS) ? 'room' : 'none';
  };
}

/**
 * When each release may close what is long: from a deadline until what had it is gone, or the release
 * is back in traffic. Several generations of one release may drain at once, each with its own deadline.
 */
function dueTimes(events: readonly ZddEvent[]): ReadonlyMap<string, readonly Outage[]> {
  const times = new Map<string, Outage[]>();
  const open = new Map<string, readonly number[]>();
  /** What served when each deployment began, for those that take up what ran before. */
  const before = new Map<string, string | null>();
  const end = (release: string, deadlines: readonly number[], toMs: number): void => {
    const ended = deadlines.map((fromMs) => ({
      fromMs,
      toMs: Math.min(toMs, fromMs + LONGEST_MS),
    }));
    times.set(release, [...(times.get(release) ?? []), ...ended]);
    const left = (open.get(release) ?? []).filter((deadline) => !deadlines.includes(deadline));
    open.set(release, left);
  };
  for (const told of events) {
    switch (told.type) {
      case 'draining': {
        // Told every few seconds, each time with the deadline of its generation.
        const known = open.get(told.release) ?? [];
        if (!known.includes(told.closingFrom)) {
          open.set(
            told.release,
            [...known, told.closingFrom].toSorted((a, b) => a - b),
          );
        }
        break;
      }
      case 'release_stopped':
        // The one that was due first.
        end(told.release, (open.get(told.release) ?? []).slice(0, 1), told.at + STOP_SLACK_MS);
        break;
      case 'deployment_started':
        before.set(`${told.app} ${told.deployment}`, told.previous);
        break;
      case 'phase_changed':
        // A fresh generation: whatever ran of the same release drains on.
        if (told.to === 'starting') before.delete(`${told.app} ${told.deployment}`);
        break;
      case 'traffic_moved': {
        const previous = before.get(`${told.app} ${told.deployment}`);
        if (previous === undefined) break;
        for (const [release, share] of Object.entries(told.shares)) {
          // Of what comes back it is the generation that left last; those before it drain on.
          const isBack = share > 0 && release !== previous;
          if (isBack) end(release, (open.get(release) ?? []).slice(-1), told.at);
        }
        break;
      }
      default:
        break;
    }
  }
  for (const [release, deadlines] of open) end(release, deadlines, Number.POSITIVE_INFINITY);
  return times;
}

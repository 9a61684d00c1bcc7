import type { ZddEvent } from '../agent/protocol/events.ts';
import type { RequestRecord } from '../load/outcome.ts';
import type { WebSocketClose } from '../load/websocket.ts';
import type { Outage } from './disturbances.ts';

/** What lies between the look at the number of workers and what the agent did for it, ms. */
const CROWDED_SLACK_MS = 3_000;
/** A close is seen here a moment after it was done, ms. */
const STOP_SLACK_MS = 1_000;

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

/** When each release may close what is long: from its deadline until it is gone or back in traffic. */
function dueTimes(events: readonly ZddEvent[]): ReadonlyMap<string, readonly Outage[]> {
  const times = new Map<string, Outage[]>();
  const open = new Map<string, number>();
  const end = (release: string, toMs: number): void => {
    const fromMs = open.get(release);
    if (fromMs === undefined) return;
    times.set(release, [...(times.get(release) ?? []), { fromMs, toMs }]);
    open.delete(release);
  };
  for (const told of events) {
    switch (told.type) {
      case 'draining':
        // Told every few seconds, and again for another generation of the same release.
        if (!open.has(told.release)) open.set(told.release, told.closingFrom);
        break;
      case 'release_stopped':
        end(told.release, told.at + STOP_SLACK_MS);
        break;
      case 'traffic_moved':
        // Of one release alone: a restart or a scale, whose old instances drain on.
        if (Object.keys(told.shares).length < 2) break;
        for (const [release, share] of Object.entries(told.shares)) {
          if (share > 0) end(release, told.at);
        }
        break;
      default:
        break;
    }
  }
  for (const release of open.keys()) end(release, Number.POSITIVE_INFINITY);
  return times;
}

import type { ZddEvent } from '../../agent/protocol/events.ts';
import type { WebSocketClose } from '../../load/websocket.ts';

/** A time in which HAProxy was told where new requests go, ms since the epoch, as the agent says. */
export interface Move {
  /** It was not told before. */
  readonly from: number;
  /** It had been told by then. */
  readonly until: number;
}

/** Phases whose effect is that instances get no new requests any more. */
const MOVING = new Set(['switching', 'closing', 'reverting']);

/**
 * The moves of traffic that events tell of. A phase is written down before its effect begins, and
 * the next one after it: however slow the machine is, what the move has caused came between.
 */
export function movesOf(events: readonly ZddEvent[]): Move[] {
  return events.flatMap((event, index) => {
    if (event.type !== 'phase_changed' || !MOVING.has(event.to)) return [];
    const next = events
      .slice(index + 1)
      .find(
        ({ type, deployment }) =>
          deployment === event.deployment &&
          (type === 'phase_changed' || type === 'deployment_ended'),
      );
    return [{ from: event.at, until: next?.at ?? Number.POSITIVE_INFINITY }];
  });
}

/** Whether a WebSocket had its time: its instances were replaced that long before it was closed. */
export function hadItsTime(
  { startedAt, closedAt }: WebSocketClose,
  moves: readonly Move[],
  stayMs: number,
): boolean {
  return moves.some(({ from, until }) => startedAt <= until && closedAt >= from + stayMs);
}

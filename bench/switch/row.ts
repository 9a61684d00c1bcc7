import type { Load } from '../../load/load.ts';
import { isLost } from '../../load/outcome.ts';
import type { LoadReport, Window } from '../../load/report.ts';
import type { WebSocketClose } from '../../load/websocket.ts';
import type { Switched } from './tool.ts';

/** One line of the table. Times in ms, medians over the switches unless they say otherwise. */
export interface Row {
  readonly tool: string;
  readonly switches: number;
  readonly requests: number;
  /** Requests refused, reset, cut, timed out, or answered by the proxy instead of the app. */
  readonly lost: number;
  /**
   * Of these, those that ended once the old processes had been told to stop. Zero for a tool whose
   * one command does all, and for one that leaves the old processes running during the run.
   */
  readonly lostAtStop: number;
  readonly wsOpened: number;
  /** WebSockets closed by the switch itself: see `wsOf`. */
  readonly wsCut: number;
  /** WebSockets that the old app closed when it was told to stop, some time after the switch. */
  readonly wsClosedAtStop: number;
  /** From the command that moves traffic to the first answer of the new release. */
  readonly switchMs: number;
  /** The longest of these. */
  readonly switchMaxMs: number;
  /** From that command to the start of the last request that an old release answered; the longest. */
  readonly oldUntilMs: number;
  /** From the start of the new processes to the first answer of the new release. */
  readonly deployMs: number;
  /** p99 of good, quick answers in the 500 ms around the switch and around the stop. */
  readonly p99NearMs: number | null;
  /** The same while nothing is deployed. */
  readonly p99FarMs: number | null;
  readonly lostByReason: LoadReport['lostByReason'];
}

/** What a load saw of all switches of a tool. */
export interface Observed extends Pick<Load, 'windows' | 'rows' | 'websocketCloses'> {
  readonly report: Pick<LoadReport, 'requests' | 'lost' | 'lostByReason'> & {
    readonly websockets: Pick<LoadReport['websockets'], 'opened'>;
  };
}

/** A switch and what the load saw of it. */
export interface Seen extends Switched {
  readonly firstAnswerAt: number;
}

const NEAR_MS = 500;
/** A close that the switch caused may arrive a moment after the tool says that it is done. */
const LATE_CLOSE_MS = 500;

/** Makes the line of a tool from what its load saw. */
export function rowOf(tool: string, observed: Observed, seen: readonly Seen[]): Row {
  const { report } = observed;
  const near = seen.flatMap(({ commandAt, firstAnswerAt, stopAt, endedAt }) => [
    around(commandAt, firstAnswerAt),
    around(stopAt, endedAt),
  ]);
  const deploys = seen.map(({ beganAt, endedAt }) => ({
    fromMs: beganAt,
    toMs: endedAt + NEAR_MS,
  }));
  const switchMs = seen.map(({ commandAt, firstAnswerAt }) => firstAnswerAt - commandAt);
  const ws = wsOf(observed.websocketCloses, seen);
  return {
    tool,
    switches: seen.length,
    requests: report.requests,
    lost: report.lost,
    lostAtStop: lostAtStop(observed.rows(), seen),
    wsOpened: report.websockets.opened,
    wsCut: ws.cut,
    wsClosedAtStop: ws.closedAtStop,
    switchMs: rounded(median(switchMs)),
    switchMaxMs: rounded(Math.max(...switchMs)),
    oldUntilMs: rounded(oldUntil(observed.rows(), seen)),
    deployMs: rounded(median(seen.map((one) => one.firstAnswerAt - one.beganAt))),
    p99NearMs: observed.windows(near, 'inside').p99Ms,
    p99FarMs: observed.windows(deploys, 'outside').p99Ms,
    lostByReason: report.lostByReason,
  };
}

/**
 * A WebSocket is cut by a switch when the server side closes it between the command that moves
 * traffic and the moment when the old app is told to stop, or later in another way than by the old
 * app's own goodbye (1001). Closed by that goodbye, it counts as closed at the stop. Where one
 * command both moves traffic and stops the old app, its user has no such choice: all are cut.
 */
export function wsOf(
  closes: readonly Pick<WebSocketClose, 'closedAt' | 'code'>[],
  seen: readonly Switched[],
): { readonly cut: number; readonly closedAtStop: number } {
  let cut = 0;
  let closedAtStop = 0;
  for (const close of closes) {
    const during = seen.find(
      ({ commandAt, endedAt }) =>
        close.closedAt >= commandAt && close.closedAt <= endedAt + LATE_CLOSE_MS,
    );
    const goodbye =
      during !== undefined &&
      during.stopAt < during.endedAt &&
      close.closedAt >= during.stopAt &&
      close.code === 1001;
    if (goodbye) closedAtStop += 1;
    else cut += 1;
  }
  return { cut, closedAtStop };
}

function lostAtStop(rows: ReturnType<Load['rows']>, seen: readonly Seen[]): number {
  let lost = 0;
  for (const row of rows) {
    if (!isLost(row.outcome)) continue;
    const stopping = seen.some(
      ({ stopAt, endedAt }) =>
        stopAt < endedAt && row.end >= stopAt && row.start <= endedAt + LATE_CLOSE_MS,
    );
    if (stopping) lost += 1;
  }
  return lost;
}

/** How long old releases got new requests after a switch: the longest of all switches. */
function oldUntil(rows: ReturnType<Load['rows']>, seen: readonly Seen[]): number {
  let longest = 0;
  for (const row of rows) {
    const last = seen.findLast(({ commandAt }) => commandAt <= row.start);
    if (last === undefined || row.outcome !== 'ok' || row.release === last.release) continue;
    longest = Math.max(longest, row.start - last.commandAt);
  }
  return longest;
}

function around(from: number, to: number): Window {
  return { fromMs: from - NEAR_MS, toMs: to + NEAR_MS };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}

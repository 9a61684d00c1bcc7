import { type Load, startLoad } from '../../load/load.ts';
import type { LoadReport, Window } from '../../load/report.ts';
import type { Stage } from './stage.ts';
import type { Switched, Tool } from './tool.ts';

/** One line of the table. Times in ms, medians over the switches unless they say otherwise. */
export interface Row {
  readonly tool: string;
  readonly switches: number;
  readonly requests: number;
  /** Requests refused, reset, cut, timed out, or answered by the proxy instead of the app. */
  readonly lost: number;
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

/** How much load every tool gets. */
export const LOAD = { rate: 600, websockets: 100, wsIntervalMs: 500 } as const;

const READY_MS = 15_000;
/** Steady traffic before the first switch and after each: the "far" that "near" is compared with. */
const STEADY_MS = 1_500;
const NEAR_MS = 500;
/** A close that the switch caused may arrive a moment after the tool says that it is done. */
const LATE_CLOSE_MS = 500;

interface Seen extends Switched {
  readonly firstAnswerAt: number;
}

/** Switches the example app `switches` times under load and counts what that did. */
export async function measure(tool: Tool, stage: Stage, switches: number): Promise<Row> {
  await using running = await tool.start(stage);
  const load = startLoad({
    url: running.url,
    ...(running.hostHeader === undefined ? {} : { hostHeader: running.hostHeader }),
    ...LOAD,
  });
  try {
    await load.ready(READY_MS);
    await stage.wait(STEADY_MS);
    const seen: Seen[] = [];
    for (let n = 1; n <= switches; n += 1) {
      const done = await running.switchTo(`v${n + 1}`);
      const firstAnswerAt = await load.firstAnswerFrom(done.release, {
        sinceMs: done.beganAt,
        timeoutMs: READY_MS,
      });
      seen.push({ ...done, firstAnswerAt });
      await stage.wait(STEADY_MS);
    }
    return rowOf(tool.name, load, await load.stop(), seen);
  } finally {
    await load.stop(0);
  }
}

function rowOf(tool: string, load: Load, report: LoadReport, seen: readonly Seen[]): Row {
  const near = seen.flatMap(({ commandAt, firstAnswerAt, stopAt, endedAt }) => [
    around(commandAt, firstAnswerAt),
    around(stopAt, endedAt),
  ]);
  const deploys = seen.map(({ beganAt, endedAt }) => ({
    fromMs: beganAt,
    toMs: endedAt + NEAR_MS,
  }));
  const switchMs = seen.map(({ commandAt, firstAnswerAt }) => firstAnswerAt - commandAt);
  const ws = wsOf(load, seen);
  return {
    tool,
    switches: seen.length,
    requests: report.requests,
    lost: report.lost,
    wsOpened: report.websockets.opened,
    wsCut: ws.cut,
    wsClosedAtStop: ws.closedAtStop,
    switchMs: rounded(median(switchMs)),
    switchMaxMs: rounded(Math.max(...switchMs)),
    oldUntilMs: rounded(oldUntil(load, seen)),
    deployMs: rounded(median(seen.map((one) => one.firstAnswerAt - one.beganAt))),
    p99NearMs: load.windows(near, 'inside').p99Ms,
    p99FarMs: load.windows(deploys, 'outside').p99Ms,
    lostByReason: report.lostByReason,
  };
}

/**
 * A WebSocket is cut by a switch when the server side closes it between the command that moves
 * traffic and the moment when the old app is told to stop, or later in another way than by the old
 * app's own goodbye (1001). Closed by that goodbye, it counts as closed at the stop. Where one
 * command both moves traffic and stops the old app, its user has no such choice: all are cut.
 */
function wsOf(load: Load, seen: readonly Seen[]): { cut: number; closedAtStop: number } {
  let cut = 0;
  let closedAtStop = 0;
  for (const close of load.websocketCloses) {
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

/** How long old releases got new requests after a switch: the longest of all switches. */
function oldUntil(load: Load, seen: readonly Seen[]): number {
  let longest = 0;
  for (const row of load.rows()) {
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

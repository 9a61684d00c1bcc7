import type { ZddEvent } from '../agent/protocol/events.ts';
import type { Load } from '../load/load.ts';
import type { LoadReport, Window } from '../load/report.ts';
import type { Played } from './acts.ts';

/** What `npm run demo -- --json` prints on its last line. Additive only. */
export interface DemoReceipt {
  readonly ok: boolean;
  readonly requests: number;
  readonly lost: number;
  readonly appErrors: number;
  readonly lostByReason: LoadReport['lostByReason'];
  readonly byKind: Readonly<Record<string, { readonly requests: number; readonly lost: number }>>;
  /** Uploads that reached an app twice: must be 0. */
  readonly duplicates: number;
  /** Workers that ran beside another one that must not: must be 0. */
  readonly workerOverlaps: number;
  readonly websockets: {
    readonly opened: number;
    readonly held: number;
    readonly messages: number;
    readonly gaps: number;
    readonly closedByDrain: number;
    readonly cutEarly: number;
    readonly longestSilenceMs: number;
  };
  /** From the last good probe of a release to its first answer to a user, ms. */
  readonly healthyToFirstRequestMs: readonly number[];
  readonly slowestNearSwitchMs: number | null;
  readonly slowestFarFromSwitchMs: number | null;
  readonly p99NearSwitchMs: number | null;
  readonly p99FarFromSwitchMs: number | null;
  readonly deployments: ReadonlyArray<{
    readonly id: number;
    readonly app: string;
    readonly release: string | null;
    readonly outcome: string;
    readonly switchMs: number | null;
    readonly totalMs: number;
    readonly lost: number;
  }>;
}

/** How far around a switch a request counts as near it, ms. */
const NEAR_MS = 500;

/** Adds up what the load client recorded and what the agent told. */
export async function composeDemoReceipt(
  load: Load,
  report: LoadReport,
  played: readonly Played[],
  events: readonly ZddEvent[],
): Promise<DemoReceipt> {
  const switches = events
    .filter(({ type }) => type === 'traffic_moved')
    .map(({ at }): Window => ({ fromMs: at - NEAR_MS, toMs: at + NEAR_MS }))
    .filter(({ fromMs }) => fromMs > report.startedAt);
  const near = load.windows(switches, 'inside');
  const far = load.windows(switches, 'outside');
  const { websockets, ledger } = report;
  const duplicates = ledger?.duplicates.length ?? 0;
  const workerOverlaps = ledger?.workerOverlaps ?? 0;
  return {
    ok:
      report.lost === 0 &&
      websockets.cutEarly === 0 &&
      websockets.gaps === 0 &&
      duplicates === 0 &&
      workerOverlaps === 0,
    requests: report.requests,
    lost: report.lost,
    appErrors: report.appErrors,
    lostByReason: report.lostByReason,
    byKind: Object.fromEntries(
      Object.entries(report.byKind).map(([kind, { requests, lost }]) => [kind, { requests, lost }]),
    ),
    duplicates,
    workerOverlaps,
    websockets: {
      opened: websockets.opened,
      held: websockets.held,
      messages: websockets.messages,
      gaps: websockets.gaps,
      closedByDrain: websockets.closedByDrain,
      cutEarly: websockets.cutEarly,
      longestSilenceMs: Math.round(websockets.longestSilenceMs),
    },
    healthyToFirstRequestMs: await healthyToFirst(load, played, events),
    slowestNearSwitchMs: near.maxMs,
    slowestFarFromSwitchMs: far.maxMs,
    p99NearSwitchMs: near.p99Ms,
    p99FarFromSwitchMs: far.p99Ms,
    deployments: played.map(({ receipt, from, to }) => ({
      id: receipt.deployment,
      app: receipt.app,
      release: receipt.release,
      outcome: receipt.outcome,
      switchMs: receipt.switchMs === null ? null : Math.round(receipt.switchMs * 1_000) / 1_000,
      totalMs: receipt.totalMs,
      lost: load.window(from, to).lost,
    })),
  };
}

/** Only releases that went live for the first time: a rollback's answers began long before. */
async function healthyToFirst(
  load: Load,
  played: readonly Played[],
  events: readonly ZddEvent[],
): Promise<number[]> {
  const times: number[] = [];
  for (const { receipt } of played.slice(1)) {
    const probed = events.find(
      (event) =>
        event.type === 'step_done' &&
        event.deployment === receipt.deployment &&
        event.step.phase === 'probing',
    );
    const { release, outcome, kind } = receipt;
    if (probed === undefined || release === null || outcome !== 'succeeded' || kind !== 'deploy') {
      continue;
    }
    const first = await load
      .firstAnswerFrom(release, { sinceMs: probed.at, timeoutMs: 1 })
      .catch(() => null);
    if (first !== null) times.push(Math.round(first - probed.at));
  }
  return times;
}

/** The receipt for people. */
export function printDemoReceipt(receipt: DemoReceipt): string {
  const { websockets } = receipt;
  const number = (value: number): string => value.toLocaleString('en');
  const kinds = Object.entries(receipt.byKind)
    .map(([kind, { requests, lost }]) => `${kind} ${number(requests)}/${lost}`)
    .join('   ');
  const rows: ReadonlyArray<readonly [string, string]> = [
    [
      'requests',
      `${number(receipt.requests)}   lost ${receipt.lost}   app's own errors ${receipt.appErrors}`,
    ],
    ['by kind', `${kinds}   (sent/lost)`],
    [
      'sent twice',
      `${receipt.duplicates} uploads   workers side by side ${receipt.workerOverlaps}`,
    ],
    [
      'WebSockets',
      `${number(websockets.opened)} opened, ${websockets.held} held to the end, ${number(websockets.closedByDrain)} closed after their deadline, ${websockets.cutEarly} cut early, ${number(websockets.messages)} messages, ${websockets.gaps} gaps`,
    ],
    ['healthy → first', `${receipt.healthyToFirstRequestMs.join(', ')} ms`],
    [
      'slowest request',
      `${receipt.slowestNearSwitchMs} ms near a switch (p99 ${receipt.p99NearSwitchMs}), ${receipt.slowestFarFromSwitchMs} ms elsewhere (p99 ${receipt.p99FarFromSwitchMs})`,
    ],
    ...receipt.deployments.map(
      ({ id, release, outcome, switchMs, totalMs, lost }) =>
        [
          `#${id}`,
          `${(release ?? 'no release').padEnd(12)} ${outcome.padEnd(11)} switch ${(switchMs === null ? '–' : `${switchMs.toFixed(1)} ms`).padEnd(7)}  ${(totalMs / 1_000).toFixed(1)}s   lost ${lost}`,
        ] as const,
    ),
  ];
  const body = rows.map(([label, text]) => `  ${label.padEnd(16)} ${text}`).join('\n');
  const verdict = receipt.ok ? 'not one request lost' : 'SOMETHING WAS LOST';
  return `\nreceipt\n${body}\n\n${verdict}\n`;
}

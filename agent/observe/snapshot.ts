import type { ProxyInfo, ReleaseTotals } from '../haproxy/proxy.ts';
import type { AppStatus, Finding } from '../protocol/api.ts';
import type { Outcome, Receipt } from '../protocol/events.ts';

/** Everything that metrics are made of, at one moment. Times in ms since the epoch. */
export interface Snapshot {
  readonly agent: {
    readonly version: string;
    readonly startedAt: number;
    readonly residentBytes: number;
    readonly cpuSeconds: number;
  };
  /** Null when HAProxy does not answer. */
  readonly haproxy: (ProxyInfo & { readonly maxOldWorkers: number }) | null;
  readonly apps: readonly AppSnapshot[];
  /** What `status` names under attention. */
  readonly findings: readonly Finding[];
  /** Differences from the journal since the agent began. */
  readonly drift: { readonly repaired: number; readonly left: number };
  readonly certificates: ReadonlyArray<{
    readonly name: string;
    readonly origin: string;
    readonly notAfter: number;
  }>;
  /** Where releases lie; null when the file system does not say. */
  readonly disk: { readonly freeBytes: number; readonly reserveBytes: number } | null;
}

/** One app at that moment. */
export interface AppSnapshot {
  readonly status: AppStatus;
  /** Deployments there have been, by their end. */
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** Requests that all of them have lost. */
  readonly lost: number;
  readonly last: Receipt | null;
  /** By release, those that run. */
  readonly totals: ReadonlyMap<string, ReleaseTotals>;
  readonly logLines: { readonly came: number; readonly lost: number };
  /** Requests that wait while its instances change hands. */
  readonly held: number;
  /** Notifications that have not been delivered. */
  readonly waiting: number;
}

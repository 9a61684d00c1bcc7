import type { BusinessCounts } from '../../core/verdict/business.ts';
import { type Looks, NO_LOOKS } from '../../core/verdict/relative-metric.ts';
import type { Host } from '../host.ts';

/** What looks at one metric have come to. */
export interface MetricMemory {
  /** Newest last; null where it could not be measured. */
  values: Array<number | null>;
  /** The last look at this week and the last one. */
  lastWeek: BusinessCounts | null;
  /** Looks at it and at that of stable. */
  relative: Looks;
  /** Why it could not be measured the last time. */
  complaint: string;
  /** When it is asked for again, ms. */
  nextAt: number;
}

/** What the triggers of a deployment know: each step of a canary goes on where the one before was. */
export interface TriggerMemory {
  readonly deployment: number;
  /** Fingerprints of alerts that were told. */
  readonly told: Set<string>;
  readonly metrics: Map<number, MetricMemory>;
  /** What has failed where `gates.on.fail` says `pause`, in words: a canary stays where it is for it. */
  objection: string | null;
}

const memories = new WeakMap<Host, Map<string, TriggerMemory>>();

/** The memory of this deployment; it ends with the daemon, or when another one begins. */
export function memoryOf(host: Host, app: string, deployment: number): TriggerMemory {
  const apps = memories.get(host) ?? new Map<string, TriggerMemory>();
  memories.set(host, apps);
  const known = apps.get(app);
  if (known?.deployment === deployment) return known;
  const fresh: TriggerMemory = { deployment, told: new Set(), metrics: new Map(), objection: null };
  apps.set(app, fresh);
  return fresh;
}

export function metricMemory({ metrics }: TriggerMemory, index: number): MetricMemory {
  const known = metrics.get(index);
  if (known !== undefined) return known;
  const fresh: MetricMemory = {
    values: [],
    lastWeek: null,
    relative: NO_LOOKS,
    complaint: '',
    nextAt: 0,
  };
  metrics.set(index, fresh);
  return fresh;
}

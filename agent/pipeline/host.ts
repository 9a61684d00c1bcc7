import type { Logger } from 'pino';
import type { Generation } from '../core/model.ts';
import type { Entrance } from '../haproxy/entrance.ts';
import type { Applied, Difference, Haproxy } from '../haproxy/proxy.ts';
import type { AppConfig } from '../protocol/app-config.ts';
import { ZddError } from '../protocol/errors.ts';
import type { NewEvent } from '../protocol/events.ts';
import type { NotifyEntry } from '../protocol/notify.ts';
import { parseAppConfig } from '../protocol/zdd-yaml.ts';
import type { InstanceSpec, Runner } from '../runner/runner.ts';
import type { Alerts } from '../store/alerts.ts';
import type { ArtifactStore } from '../store/artifact/artifacts.ts';
import type { Audit } from '../store/audit.ts';
import type { Contracts } from '../store/contracts.ts';
import type { CronRuns } from '../store/cron.ts';
import type { Drops } from '../store/drops.ts';
import type { Environments } from '../store/environment.ts';
import type { Journal } from '../store/journal.ts';
import type { Layout } from '../store/layout.ts';
import type { Locks } from '../store/locks.ts';
import type { Maintenances } from '../store/maintenance.ts';
import type { Outbox } from '../store/outbox.ts';
import type { ReleaseRecord, Releases } from '../store/releases.ts';
import type { SlotRecord, Slots } from '../store/slots.ts';
import type { Pause } from './notifications/pause.ts';
import type { Pace } from './pace.ts';
import type { TlsBooks } from './tls/books.ts';

/** Limits that protect the disk; see `agent.yaml`. */
export interface DiskLimits {
  readonly unpackedBytes: number;
  readonly entries: number;
  readonly reserveBytes: number;
}

/** The one door to HAProxy: it says what the journal says, of all apps at once. See `traffic.ts`. */
export interface TrafficControl {
  apply(host: Host, signal: AbortSignal, app?: string): Promise<Applied>;
  move(host: Host, signal: AbortSignal, app: string): Promise<Applied>;
  inspect(host: Host, signal: AbortSignal): Promise<readonly Difference[]>;
}

/** Releases that must stay until something is unpacked, or until then, ms since the epoch. */
export interface CountedOn {
  readonly releases: ReadonlySet<string>;
  readonly until: number;
}

/** What the daemon knows of drift beside what it sees now. See `keep-true.ts`. */
export interface DriftKnowledge {
  /** Why HAProxy could not be made true at the last try; null when it could. */
  readonly failure: ZddError | null;
  /** Until when a difference is left alone, ms; null when it is not. */
  restsUntil(what: string, now: number): number | null;
  /** Looks once, and repairs what does not rest. @throws what HAProxy's room throws */
  look(host: Host, signal: AbortSignal): Promise<void>;
}

/** The VPS as the verbs of this folder see it. */
export interface Host {
  readonly journal: Journal;
  readonly releases: Releases;
  readonly slots: Slots<InstanceSpec>;
  readonly locks: Locks;
  readonly maintenance: Maintenances;
  readonly drops: Drops;
  readonly audit: Audit;
  readonly environments: Environments;
  readonly outbox: Outbox<NotifyEntry, Pause>;
  readonly cron: CronRuns;
  readonly tls: TlsBooks;
  readonly contracts: Contracts;
  readonly alerts: Alerts;
  readonly artifacts: ArtifactStore;
  readonly layout: Layout;
  /** The folder of `agent.yaml`: `apps/<app>.yaml` in it fixes or overrides keys of `zdd.yaml`. */
  readonly configDir: string;
  readonly limits: DiskLimits;
  readonly runner: Runner;
  readonly proxy: Haproxy;
  /** Where the agent meets HAProxy as a user does; null where it cannot. */
  readonly entrance: () => Entrance | null;
  readonly traffic: TrafficControl;
  /** By upload or artifact: folders of releases that it takes contents from. See `receive.ts`. */
  readonly countedOn: Map<string, CountedOn>;
  readonly drift: DriftKnowledge;
  readonly log: Logger;
  readonly now: () => number;
}

/** What the host remembers: enough to tell what traffic it wants. */
export type Books = Pick<Host, 'journal' | 'maintenance' | 'releases' | 'slots' | 'tls'>;

export type HostSlot = SlotRecord<InstanceSpec>;

/** What a verb is given beside the host: what it is part of, and when to give up. */
export interface Task {
  readonly app: string;
  readonly deployment: number | null;
  readonly signal: AbortSignal;
  /** At which connections of the app are closed, whichever of its releases they belong to. */
  readonly pace: Pace;
  /** Adds a line to the story while the verb runs. */
  readonly tell: (event: NewEvent) => void;
}

/** The `zdd.yaml` of a release, checked again as it was when it came. */
export function configOf(
  host: Pick<Host, 'releases'>,
  app: string,
  { release }: Generation,
): AppConfig {
  const record = host.releases.find(app, release);
  if (record === null) {
    throw new ZddError('ZDD_RELEASE_UNKNOWN', `${app} has no release ${release}`, {
      tries: [`zdd-agent releases ${app}`],
    });
  }
  const known = configsOfRecords.get(record);
  if (known !== undefined) return known;
  const config = checked(record.config);
  configsOfRecords.set(record, config);
  return config;
}

/** A look at the traffic of 200 apps asks thousands of times, of the same records as a rule. */
const configsOfRecords = new WeakMap<ReleaseRecord, AppConfig>();

/** More than the releases that run or are kept warm on a host of hundreds of apps. */
const KEPT_CONFIGS = 2_000;
const configs = new Map<string, AppConfig>();

/**
 * What a text means never changes, and each look at the traffic of a host asks it of every app: a
 * millisecond each, when it is read anew. Nobody changes what is returned.
 */
function checked(text: string): AppConfig {
  const config = configs.get(text) ?? parseAppConfig(text, 'zdd.yaml');
  // Put last again, so that what goes is what was not asked for longest.
  configs.delete(text);
  configs.set(text, config);
  const [oldest] = configs.keys();
  if (configs.size > KEPT_CONFIGS && oldest !== undefined) configs.delete(oldest);
  return config;
}

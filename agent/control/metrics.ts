import { statfs } from 'node:fs/promises';
import { namesServed } from '../core/certificates.ts';
import { generationsOf } from '../core/model.ts';
import { isHeld } from '../core/traffic.ts';
import { metricsText } from '../observe/metrics.ts';
import type { AppSnapshot, Snapshot } from '../observe/snapshot.ts';
import type { Host } from '../pipeline/host.ts';
import type { Outcome, ZddEvent } from '../protocol/events.ts';
import type { Daemon } from './daemon.ts';
import { appStatus, attention } from './status.ts';

/** How long a look may take, ms: Prometheus waits for ten seconds. */
const LOOK_MS = 8_000;
/** What was seen is told again for so long, ms, and for so many times as long as the look took. */
const FRESH_MS = 1_000;
const FRESH_SHARE = 4;

interface Seen {
  readonly text: string;
  /** Until when it is told again, by a clock that never jumps. */
  readonly until: number;
}

interface Ended {
  readonly outcomes: Record<Outcome, number>;
  lost: number;
}

/** What Prometheus is told. Beside what can be looked at it counts what the journal tells. */
export class Metrics {
  readonly #daemon: Daemon;
  readonly #ended = new Map<string, Ended>();
  readonly #drift = { repaired: 0, left: 0 };
  #looking: Promise<Seen> | null = null;
  #seen: Seen = { text: '', until: 0 };

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
    const { journal } = daemon.host;
    for (const { app, outcome, count, lost } of journal.outcomes()) {
      const ended = this.#endedOf(app);
      ended.outcomes[outcome] += count;
      ended.lost += lost;
    }
    journal.subscribe((event) => this.#count(event));
  }

  /**
   * A look asks HAProxy about every app: who comes meanwhile, or right after, gets the same, so that
   * no number of scrapers keeps the agent from its work.
   */
  async text(): Promise<string> {
    if (performance.now() >= this.#seen.until) {
      this.#looking ??= this.#see().finally(() => {
        this.#looking = null;
      });
      this.#seen = await this.#looking;
    }
    return this.#seen.text;
  }

  async #see(): Promise<Seen> {
    const began = performance.now();
    const text = metricsText(await this.#look());
    const now = performance.now();
    return { text, until: now + Math.max(FRESH_MS, FRESH_SHARE * (now - began)) };
  }

  #count(event: ZddEvent): void {
    if (event.type === 'drift') this.#drift[event.repaired ? 'repaired' : 'left'] += 1;
    if (event.type !== 'deployment_ended') return;
    const ended = this.#endedOf(event.app);
    ended.outcomes[event.receipt.outcome] += 1;
    ended.lost += event.receipt.lost;
  }

  #endedOf(app: string): Ended {
    const ended = this.#ended.get(app) ?? {
      outcomes: { succeeded: 0, failed: 0, aborted: 0, rolled_back: 0 },
      lost: 0,
    };
    this.#ended.set(app, ended);
    return ended;
  }

  async #look(): Promise<Snapshot> {
    const { host, version, settings } = this.#daemon;
    const signal = AbortSignal.timeout(LOOK_MS);
    const haproxy = await host.proxy.info(signal).catch(() => null);
    const { user, system } = process.cpuUsage();
    const { maxOldWorkers } = settings.current.haproxy;
    return {
      agent: {
        version,
        startedAt: performance.timeOrigin,
        residentBytes: process.memoryUsage.rss(),
        cpuSeconds: (user + system) / 1_000_000,
      },
      haproxy: haproxy === null ? null : { ...haproxy, maxOldWorkers },
      apps: await this.#apps(haproxy !== null, signal),
      findings: await attention(host, signal),
      drift: { ...this.#drift },
      certificates: certificatesShown(host),
      disk: await diskOf(host),
    };
  }

  async #apps(isUp: boolean, signal: AbortSignal): Promise<AppSnapshot[]> {
    const { host } = this.#daemon;
    const waiting = new Map<string, number>();
    for (const { app } of host.outbox.all()) waiting.set(app, (waiting.get(app) ?? 0) + 1);
    const snapshots: AppSnapshot[] = [];
    // One after another: the agent has other work, and Prometheus has time.
    for (const app of host.journal.apps()) {
      const state = host.journal.state(app);
      // Which lines are missing is found out by looking at the counters.
      if (isUp) await host.proxy.counters(app, signal).catch(() => undefined);
      const releases = generationsOf(state).map(({ release }) => release);
      const { outcomes, lost } = this.#endedOf(app);
      snapshots.push({
        status: await appStatus(host, state, signal),
        outcomes: { ...outcomes },
        lost,
        last: host.journal.lastReceipt(app),
        totals: new Map(releases.map((release) => [release, host.proxy.totals(app, release)])),
        logLines: host.proxy.logLines(app),
        held: isUp && isHeld(state) ? await host.proxy.held(app, signal).catch(() => 0) : 0,
        waiting: waiting.get(app) ?? 0,
      });
    }
    return snapshots;
  }
}

function certificatesShown({ tls }: Host): Snapshot['certificates'] {
  const known = tls.certificates.list();
  const served = namesServed(known);
  return known.flatMap(({ id, origin, notAfter }) =>
    (served.get(id) ?? []).map((name) => ({ name, origin, notAfter })),
  );
}

async function diskOf({ layout, limits }: Host): Promise<Snapshot['disk']> {
  try {
    const { bavail, bsize } = await statfs(layout.stateDir);
    return { freeBytes: bavail * bsize, reserveBytes: limits.reserveBytes };
  } catch {
    return null;
  }
}

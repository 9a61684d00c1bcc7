import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PrivateHost } from '../demo/private-host.ts';
import { now } from '../load/outcome.ts';
import { processesOf } from './disturbances.ts';
import type { WorkersSeen } from './judge.ts';

const LOOK_EVERY_MS = 250;
const KIB_IN_MIB = 1_024;

/** Looks at what may grow: workers of HAProxy, memory of the agent. */
export class Watch {
  readonly seen: WorkersSeen[] = [];
  #agentRssMaxMb = 0;

  get workersMax(): number {
    return this.seen.reduce((most, { workers }) => Math.max(most, workers), 0);
  }

  get agentRssMaxMb(): number {
    return this.#agentRssMaxMb;
  }

  /** Until `signal` ends it. What does not answer because it was killed is looked at later. */
  async run(host: PrivateHost, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look(host).catch(() => undefined);
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #look(host: PrivateHost): Promise<void> {
    const status = await readFile(`/proc/${host.daemonPid}/status`, 'utf8').catch(() => '');
    const kib = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0);
    this.#agentRssMaxMb = Math.max(this.#agentRssMaxMb, Math.round(kib / KIB_IN_MIB));
    const { current, old } = await processesOf(host);
    const workers = old.length + (current === undefined ? 0 : 1);
    this.seen.push({ at: now(), workers });
  }
}

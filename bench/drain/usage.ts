import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Clock ticks a second in `/proc/PID/stat`: 100 on every Linux that Debian builds. */
const TICKS = 100;
const SAMPLE_MS = 500;

/** What a process used between two moments. */
export interface Usage {
  /** Percent of one core. */
  readonly cpu: number;
  readonly maxRssMb: number;
}

/** Watches a process from outside, until `signal`. */
export class UsageWatch {
  readonly #pid: number;
  readonly #samples: { readonly at: number; readonly cpuMs: number; readonly rssMb: number }[] = [];

  constructor(pid: number, signal: AbortSignal) {
    this.#pid = pid;
    void this.#watch(signal).catch(() => undefined);
  }

  /** Between two moments, ms since the epoch. */
  between(from: number, to: number): Usage {
    const some = this.#samples.filter(({ at }) => at >= from && at <= to);
    const [first, last] = [some[0], some.at(-1)];
    const cpu =
      first === undefined || last === undefined || last.at === first.at
        ? 0
        : (100 * (last.cpuMs - first.cpuMs)) / (last.at - first.at);
    return { cpu, maxRssMb: Math.max(0, ...some.map(({ rssMb }) => rssMb)) };
  }

  async #watch(signal: AbortSignal): Promise<void> {
    for (;;) {
      const stat = readFileSync(`/proc/${this.#pid}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const cpuMs = ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS;
      const status = readFileSync(`/proc/${this.#pid}/status`, 'latin1');
      const rssMb = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1_024;
      this.#samples.push({ at: Date.now(), cpuMs, rssMb });
      await sleep(SAMPLE_MS, undefined, { signal });
    }
  }
}

import { judge, type Limits, type Sample, type Verdict } from '../core/gate.ts';
import type { Generation } from '../core/model.ts';
import type { AppCounters } from '../haproxy/proxy.ts';
import { formatDuration } from '../protocol/duration.ts';
import { ZddError } from '../protocol/errors.ts';
import { configOf, type Host, type HostSlot, type Task } from './host.ts';
import { pause } from './pause.ts';
import { describeExit, healthOf, type ProbeResult, probeOnce, shortName } from './probe.ts';
import { trafficSlots } from './traffic.ts';

const LOOK_EVERY_MS = 200;
const PROBE_EVERY_MS = 1_000;
const TELL_EVERY_MS = 5_000;

/**
 * Watches the candidate under real traffic until `until`. Whatever breaks a limit ends the wait at
 * once.
 * @throws ZDD_GATE_FAILED with metric, value, limit and n.
 */
export async function bake(
  host: Host,
  task: Task,
  candidate: Generation,
  until: number,
): Promise<string> {
  const watch = new Watch(host, task, candidate);
  try {
    return await watch.until(until, task);
  } finally {
    watch.close();
  }
}

class Watch {
  readonly #host: Host;
  readonly #app: string;
  readonly #candidate: Generation;
  readonly #fresh: boolean;
  readonly #slots: readonly HostSlot[];
  readonly #limits: Limits;
  readonly #stopListening: () => void;
  readonly #crashes: string[] = [];
  readonly #failedInARow = new Map<string, number>();
  #lastFailedProbe: string | null = null;
  #base: AppCounters | null = null;
  #requests = 0;
  #errors = 0;

  constructor(host: Host, { app, deployment }: Task, candidate: Generation) {
    this.#host = host;
    this.#app = app;
    this.#candidate = candidate;
    this.#fresh = candidate.deployment === deployment;
    this.#slots = trafficSlots(host, app, candidate);
    const { gates } = configOf(host, app, candidate);
    this.#limits = {
      errorRate: gates.error_rate,
      minRequests: gates.min_requests,
      minErrors: gates.min_errors,
      failedProbes: gates.failed_probes,
    };
    const own = new Set(host.slots.of(app, candidate).map(({ spec }) => spec.slot));
    this.#stopListening = host.runner.onExit(({ spec, exit }) => {
      if (own.has(spec.slot)) this.#crashes.push(`${spec.process} ${describeExit(exit)}`);
    });
  }

  close(): void {
    this.#stopListening();
  }

  async until(until: number, task: Task): Promise<string> {
    const started = this.#host.now();
    let probeAt = 0;
    let tellAt = started + TELL_EVERY_MS;
    for (;;) {
      const now = this.#host.now();
      await this.#count(task.signal);
      if (now >= probeAt) {
        await this.#probe(task.signal);
        probeAt = now + PROBE_EVERY_MS;
      }
      const verdict = judge(this.#sample(), this.#limits);
      if (verdict.verdict === 'fail') throw this.#refusal(verdict, now - started);
      if (now >= until) return this.#summary(now - started);
      if (now >= tellAt) {
        tellAt = now + TELL_EVERY_MS;
        task.tell({
          type: 'progress',
          app: task.app,
          deployment: task.deployment,
          phase: 'baking',
          message: this.#summary(now - started),
        });
      }
      await pause(Math.max(0, Math.min(LOOK_EVERY_MS, until - now)), task.signal);
    }
  }

  #sample(): Sample {
    return {
      requests: this.#requests,
      errors: this.#errors,
      crashes: Math.max(this.#crashes.length, this.#restarts()),
      failedProbes: Math.max(0, ...this.#failedInARow.values()),
    };
  }

  /** Restarts of fresh instances that nobody was there to hear of: while the daemon was away. */
  #restarts(): number {
    if (!this.#fresh) return 0;
    return this.#host.slots.of(this.#app, this.#candidate).reduce((sum, { spec }) => {
      const status = this.#host.runner.status(spec.slot);
      return sum + (status.state === 'stopped' ? 0 : status.restarts);
    }, 0);
  }

  /** HAProxy starts counting at 0 again after a reload: what it says is added up here. */
  async #count(signal: AbortSignal): Promise<void> {
    if (this.#slots.length === 0) return;
    const counters = await this.#host.proxy.counters(this.#app, signal);
    for (const { name } of this.#slots) {
      const now = counters.servers.get(name);
      const before = this.#base?.servers.get(name);
      if (now === undefined || this.#base === null) continue;
      const reset = before === undefined || now.requests < before.requests;
      this.#requests += now.requests - (reset ? 0 : before.requests);
      this.#errors += now.responses5xx - (reset ? 0 : before.responses5xx);
      this.#errors += now.failed - (reset ? 0 : before.failed);
    }
    this.#base = counters;
  }

  async #probe(signal: AbortSignal): Promise<void> {
    await Promise.all(
      this.#slots.map(async (slot) => {
        const result: ProbeResult = await probeOnce(slot, healthOf(this.#host, slot), signal);
        if (result.healthy) this.#failedInARow.delete(slot.name);
        else {
          this.#failedInARow.set(slot.name, (this.#failedInARow.get(slot.name) ?? 0) + 1);
          this.#lastFailedProbe = `${shortName(slot)} ${result.says}`;
        }
      }),
    );
  }

  #summary(ms: number): string {
    const rate = this.#requests === 0 ? 0 : (100 * this.#errors) / this.#requests;
    return `${formatDuration(ms)}: ${this.#requests.toLocaleString('en')} requests, ${rate.toFixed(2)} % errors`;
  }

  #refusal(verdict: Extract<Verdict, { verdict: 'fail' }>, ms: number): ZddError {
    const evidence: Array<[string, string]> = [['why', this.#why(verdict)]];
    if (verdict.metric === 'crashes') evidence.push(['instances', this.#crashes.join('\n')]);
    if (verdict.metric === 'failed probes' && this.#lastFailedProbe !== null) {
      evidence.push(['last answer', this.#lastFailedProbe]);
    }
    return new ZddError(
      'ZDD_GATE_FAILED',
      `${this.#candidate.release} failed ${formatDuration(ms)} after the switch and was rolled back`,
      { evidence, tries: [`zdd-agent logs --release ${this.#candidate.release}`] },
    );
  }

  #why({ metric, value, threshold, n }: Extract<Verdict, { verdict: 'fail' }>): string {
    switch (metric) {
      case 'crashes':
        return `${value} instance${value === 1 ? '' : 's'} ended by itself`;
      case 'failed probes':
        return `${value} failed probes in a row (limit ${threshold})`;
      case 'error rate': {
        const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
        return `${this.#errors} of ${n} requests failed (${percent(value)}, limit ${percent(threshold)})`;
      }
    }
  }
}

import type { Generation, Phase } from '../../core/model.ts';
import { type Evidence, type Limits, totals } from '../../core/verdict/evidence.ts';
import { percentile, tellPercentile } from '../../core/verdict/histogram.ts';
import { judgeCrashes, judgeHung, judgeProbes } from '../../core/verdict/instances.ts';
import { failing, isHeld, isSettled, judgeTraffic } from '../../core/verdict/judge.ts';
import { judgeRelativeLatency } from '../../core/verdict/relative-latency.ts';
import { tell, type Verdict } from '../../core/verdict/verdict.ts';
import type { AppConfig } from '../../protocol/app-config.ts';
import { formatDuration } from '../../protocol/duration.ts';
import { ZddError } from '../../protocol/errors.ts';
import { configOf, type Host, type HostSlot, type Task } from '../host.ts';
import { pause } from '../pause.ts';
import { describeExit, healthOf, type ProbeResult, probeOnce, shortName } from '../probe.ts';
import { servingSlots, trafficSlots } from '../traffic.ts';
import { Observation } from './observation.ts';

const LOOK_EVERY_MS = 200;
const PROBE_EVERY_MS = 1_000;
const TELL_EVERY_MS = 5_000;
/** Kinds of failures that an error names. */
const KINDS_SHOWN = 4;

/** What is watched, and since when what is seen counts. */
export interface Watching {
  readonly candidate: Generation;
  readonly phase: Extract<Phase['name'], 'canary' | 'rolling' | 'baking'>;
  /** ms */
  readonly since: number;
  /** Of a canary: its share of the users; of a rolling deployment: of the requests. */
  readonly percent?: number;
}

/** What one look came to. */
export interface Seen {
  readonly now: number;
  readonly evidence: Evidence;
  readonly verdicts: readonly Verdict[];
  /** Stable has the same trouble, or a person shall decide: nothing goes on meanwhile. */
  readonly held: Verdict | null;
}

/** Watches a candidate that has traffic: its instances, its probes, and every request. */
export class Watch {
  readonly #host: Host;
  readonly #task: Task;
  readonly #watching: Watching;
  readonly #previous: Generation | null;
  readonly #fresh: boolean;
  readonly #slots: readonly HostSlot[];
  readonly #gates: AppConfig['gates'];
  readonly #observation: Observation;
  readonly #stopListening: () => void;
  readonly #crashes: string[] = [];
  readonly #failedInARow = new Map<string, number>();
  readonly #started: number;
  readonly limits: Limits;
  #lastFailedProbe: string | null = null;
  #probeAt = 0;
  #tellAt: number;
  /** What the sequential test has said: it decides once. */
  #settled: Verdict | null = null;
  #held = '';

  constructor(host: Host, task: Task, watching: Watching) {
    const { app, deployment } = task;
    const { candidate } = watching;
    const state = host.journal.state(app);
    const { stable } = state;
    this.#host = host;
    this.#task = task;
    this.#watching = watching;
    this.#previous = stable;
    this.#fresh = candidate.deployment === deployment;
    this.#slots = servingSlots(host, state, candidate);
    this.#gates = configOf(host, app, candidate).gates;
    this.limits = limitsOf(this.#gates);
    this.#started = host.now();
    this.#tellAt = this.#started + TELL_EVERY_MS;
    this.#observation = new Observation(host, {
      app,
      candidate: this.#slots.map(({ name }) => name),
      stable: stable === null ? [] : trafficSlots(host, app, stable).map(({ name }) => name),
      since: watching.since,
      isFresh: this.#fresh,
    });
    const own = new Set(host.slots.of(app, candidate).map(({ spec }) => spec.slot));
    this.#stopListening = host.runner.onExit(({ spec, exit }) => {
      if (own.has(spec.slot)) this.#crashes.push(`${spec.process} ${describeExit(exit)}`);
    });
  }

  close(): void {
    this.#stopListening();
  }

  /** When this watch began, ms. */
  get started(): number {
    return this.#started;
  }

  /** Whether the sequential test has come to its end. */
  get isSettled(): boolean {
    return this.#settled !== null;
  }

  /** Whether there are requests to judge by at all. */
  get takesTraffic(): boolean {
    return this.#slots.length > 0;
  }

  /** Looks once, and tells now and then. @throws ZDD_GATE_FAILED when traffic has to go back */
  async look(): Promise<Seen> {
    const { app, deployment, signal, tell: say } = this.#task;
    const now = this.#host.now();
    await this.#observation.look(signal);
    if (now >= this.#probeAt) {
      await this.#probe(signal);
      this.#probeAt = now + PROBE_EVERY_MS;
    }
    const evidence = this.#observation.evidence(now);
    const verdicts = this.#judge(evidence);
    const failed = failing(verdicts);
    if (failed?.action === 'rollback') throw this.refusal(failed, verdicts, evidence);
    const held = verdicts.find(isHeld) ?? failed;
    this.#tellHeld(held, verdicts);
    if (now >= this.#tellAt) {
      this.#tellAt = now + TELL_EVERY_MS;
      const message = this.summary(evidence);
      say({ type: 'progress', app, deployment, phase: this.#watching.phase, message });
    }
    return { now, evidence, verdicts, held };
  }

  /** Waits for the next look. @param leftMs until something is due */
  async rest(leftMs = LOOK_EVERY_MS): Promise<void> {
    await pause(leftMs > 0 ? Math.min(LOOK_EVERY_MS, leftMs) : LOOK_EVERY_MS, this.#task.signal);
  }

  /** Once a step: whether it is slower than the release before. */
  relative({ evidence }: Seen): readonly Verdict[] {
    return this.takesTraffic ? [judgeRelativeLatency(evidence, this.limits)] : [];
  }

  #judge(evidence: Evidence): readonly Verdict[] {
    const window = { from: evidence.since, to: evidence.now };
    const { fail } = this.limits.actions;
    const { failed_probes, hung, min_errors } = this.#gates;
    const traffic = judgeTraffic(evidence, this.limits, this.#settled);
    this.#settled = traffic.find(isSettled) ?? this.#settled;
    const crashes = Math.max(this.#crashes.length, this.#restarts());
    const inARow = Math.max(0, ...this.#failedInARow.values());
    const instances = [
      judgeCrashes(crashes, window, fail),
      judgeProbes(inARow, failed_probes, window, fail),
      judgeHung(this.#observation.looks, hung, min_errors, fail),
    ].filter(({ outcome }) => outcome === 'fail');
    return [...instances, ...(this.#slots.length === 0 ? [] : traffic)];
  }

  /** Tells what the gates say. */
  report(verdicts: readonly Verdict[]): void {
    const { app, deployment, tell: say } = this.#task;
    if (verdicts.length === 0) return;
    const told = verdicts.map((verdict) => ({ ...verdict, says: tell(verdict) }));
    say({ type: 'judged', app, deployment, phase: this.#watching.phase, verdicts: told });
  }

  /** Once for each gate that holds: somebody shall look. */
  #tellHeld(held: Verdict | null, verdicts: readonly Verdict[]): void {
    const gate = held?.gate ?? '';
    if (gate !== '' && gate !== this.#held) this.report(verdicts);
    this.#held = gate;
  }

  /** Restarts of fresh instances that nobody was there to hear of: while the daemon was away. */
  #restarts(): number {
    if (!this.#fresh) return 0;
    return this.#host.slots.of(this.#task.app, this.#watching.candidate).reduce((sum, { spec }) => {
      const status = this.#host.runner.status(spec.slot);
      return sum + (status.state === 'stopped' ? 0 : status.restarts);
    }, 0);
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

  /** Requests, errors and p99 in one line. */
  summary(evidence: Evidence): string {
    const { now, since } = evidence;
    const { p99Ms } = this.limits;
    const seen = totals(evidence.candidate, { from: since, to: now }, p99Ms);
    const rate = seen.n === 0 ? 0 : (100 * seen.failed) / seen.n;
    const sampled = seen.oneOf > 1 ? `, one of ${seen.oneOf} judged` : '';
    const { percent, phase } = this.#watching;
    // What a rolling release did with smaller shares counts on.
    const told = phase === 'rolling' ? `now ${percent} %, ` : `${percent} % for `;
    const share = percent === undefined ? '' : told;
    const text = `${share}${formatDuration(now - since)}: ${seen.n.toLocaleString('en')} requests, ${rate.toFixed(2)} % errors${sampled}`;
    if (seen.latency.size === 0) return text;
    const p99 = percentile(totals(evidence.stable, { from: 0, to: now }, p99Ms).latency, 99);
    const before = p99 === null ? '' : ` (${this.#previous?.release.split('-')[0]}: ${p99} ms)`;
    return `${text}, ${tellPercentile(seen.latency, 99)}${before}`;
  }

  /** Why traffic goes back. */
  refusal(verdict: Verdict, verdicts: readonly Verdict[], evidence: Evidence): ZddError {
    this.report([verdict, ...verdicts.filter((other) => other !== verdict)]);
    const lines: Array<[string, string]> = [['why', tell(verdict)]];
    switch (verdict.gate) {
      case 'crashes':
        lines.push(['instances', this.#crashes.join('\n')]);
        break;
      case 'probes':
        if (this.#lastFailedProbe !== null) lines.push(['last answer', this.#lastFailedProbe]);
        break;
      case 'error-rate':
      case 'sequential': {
        const kinds = this.#observation.failures();
        const more = kinds.length > KINDS_SHOWN ? ', ...' : '';
        if (kinds.length > 0) {
          lines.push(['failures', `${kinds.slice(0, KINDS_SHOWN).join(', ')}${more}`]);
        }
        lines.push(['before', this.#before(evidence)]);
        break;
      }
      default:
        break;
    }
    const { candidate, percent, phase } = this.#watching;
    const whose = phase === 'rolling' ? 'requests' : 'users';
    const after = formatDuration(evidence.now - evidence.since);
    const when =
      percent === undefined ? `${after} after the switch` : `at ${percent} % of the ${whose}`;
    return new ZddError(
      'ZDD_GATE_FAILED',
      `${candidate.release} failed ${when} and was rolled back`,
      { evidence: lines, tries: [`zdd-agent logs --release ${candidate.release}`] },
    );
  }

  #before({ stable, now }: Evidence): string {
    const { n, failed } = totals(stable, { from: 0, to: now }, this.limits.p99Ms);
    const who = this.#previous?.release ?? 'no release';
    return n === 0 ? `${who}: nothing known` : `${who}: ${failed} of ${n} requests failed`;
  }
}

function limitsOf(gates: AppConfig['gates']): Limits {
  return {
    errorRate: gates.error_rate,
    errorForMs: gates.error_for,
    p99Ms: gates.p99,
    p99ForMs: gates.p99_for,
    minRequests: gates.min_requests,
    minErrors: gates.min_errors,
    warmUpMs: gates.warm_up,
    actions: { pass: 'proceed', ...gates.on },
  };
}

import type { Generation } from '../../core/model.ts';
import { drops, judgeBusiness } from '../../core/verdict/business.ts';
import { judgeRelative, type Looks } from '../../core/verdict/relative-metric.ts';
import { judgeAlert, judgeMetric } from '../../core/verdict/triggers.ts';
import { DEFAULT_ACTIONS, tell, type Verdict } from '../../core/verdict/verdict.ts';
import type { AppConfig } from '../../protocol/app-config.ts';
import { ZddError } from '../../protocol/errors.ts';
import { type Metric, totalOf } from '../../protocol/triggers.ts';
import { configOf, type Host, type Task } from '../host.ts';
import { pause } from '../pause.ts';
import { type MetricMemory, memoryOf, metricMemory, type TriggerMemory } from './memory.ts';
import { type Measured, measure } from './metric.ts';

const LOOK_EVERY_MS = 500;
const WEEK_MS = 7 * 86_400_000;

/**
 * Watches what others know of a candidate that has traffic: alerts and metrics of its `triggers`.
 * @param done ends the watch, when what it stands beside has ended
 * @throws ZDD_GATE_FAILED
 */
export async function watchTriggers(
  host: Host,
  task: Task,
  candidate: Generation,
  done: AbortSignal,
): Promise<void> {
  const { alerts, metrics } = configOf(host, task.app, candidate).triggers;
  const { deployment } = host.journal.state(task.app);
  if (deployment === null || (alerts === undefined && metrics.length === 0)) return;
  const ended = AbortSignal.any([task.signal, done]);
  const memory = memoryOf(host, task.app, deployment.id);
  const watch = new Triggers(host, task, candidate, deployment.startedAt, memory);
  const each = metrics.map((metric, index) =>
    watch.metric(metric, metricMemory(memory, index), ended),
  );
  if (alerts !== undefined) each.push(watch.alerts(alerts, ended));
  await Promise.all(each);
}

/** What a comparison with stable came to, or why there is none. */
type Compared = { readonly verdict: Verdict; readonly looks: Looks } | { readonly error: string };

class Triggers {
  readonly #host: Host;
  readonly #task: Task;
  readonly #candidate: Generation;
  readonly #since: number;
  readonly #memory: TriggerMemory;
  readonly #gates: AppConfig['gates'];
  readonly #onFail: 'pause' | 'rollback';

  constructor(host: Host, task: Task, candidate: Generation, since: number, memory: TriggerMemory) {
    this.#host = host;
    this.#task = task;
    this.#candidate = candidate;
    this.#since = since;
    this.#memory = memory;
    this.#gates = configOf(host, task.app, candidate).gates;
    this.#onFail = this.#gates.on.fail;
  }

  /** Alerts with these labels that have begun since the rollout did; each is told once. */
  async alerts(wanted: Readonly<Record<string, string>>, ended: AbortSignal): Promise<void> {
    const { told } = this.#memory;
    while (!ended.aborted) {
      for (const { fingerprint, labels, annotations, startsAt } of this.#host.alerts.firing()) {
        const fits = Object.entries(wanted).every(([name, value]) => labels[name] === value);
        if (!fits || startsAt < this.#since || told.has(fingerprint)) continue;
        told.add(fingerprint);
        const name = labels['alertname'] ?? 'without a name';
        const says = annotations['summary'] ?? annotations['description'] ?? '';
        this.#fail(judgeAlert({ name, says, startsAt }, this.#host.now(), this.#onFail));
      }
      await rest(LOOK_EVERY_MS, ended);
    }
  }

  /** A look that is under way when the watch ends is waited for: a step may be shorter than a question. */
  async metric(metric: Metric, memory: MetricMemory, ended: AbortSignal): Promise<void> {
    const stable = this.#stable(metric);
    for (;;) {
      await rest(memory.nextAt - this.#host.now(), ended);
      if (ended.aborted) return;
      const now = this.#host.now();
      const seen = await this.#measure(metric, this.#candidate, now);
      const compared =
        'value' in seen && stable !== null
          ? await this.#compare(metric, seen.value, stable, memory.relative, now)
          : null;
      if (this.#task.signal.aborted) return;
      memory.nextAt = now + metric.every;
      memory.values.push('value' in seen ? seen.value : null);
      const window = { from: this.#since, to: now };
      const absolute = judgeMetric(metric.name, memory.values, metric, window, this.#onFail);
      const error = errorOf(seen) ?? errorOf(compared) ?? '';
      if (error !== '' && error !== memory.complaint) {
        this.#report({ ...absolute, outcome: 'error', because: error });
      }
      memory.complaint = error;
      if ('value' in seen && 'last_week' in metric && metric.last_week) {
        const then = await this.#measure(metric, this.#candidate, now - WEEK_MS);
        const baseline = 'value' in then ? then.value : 0;
        const counts = { candidate: seen.value, baseline, exposure: 1 };
        const actions = { ...DEFAULT_ACTIONS, fail: this.#onFail };
        const verdict = judgeBusiness(metric.name, counts, memory.lastWeek, window, actions);
        memory.lastWeek = counts;
        if (verdict.outcome === 'fail') this.#fail(verdict);
        else if (drops(counts)) this.#report(verdict);
      }
      if (compared !== null && 'verdict' in compared) {
        const failed = compared.verdict.outcome === 'fail';
        memory.relative = failed ? { ...compared.looks, inARow: 0 } : compared.looks;
        if (failed) this.#fail(compared.verdict);
      }
      if (absolute.outcome === 'fail') {
        memory.values = [];
        this.#fail(absolute);
      }
    }
  }

  /** Whom a metric is held against: a first release, or one that is only restarted, against nobody. */
  #stable({ relative_to }: Metric): Generation | null {
    const { stable } = this.#host.journal.state(this.#task.app);
    const other = stable !== null && stable.release !== this.#candidate.release;
    return relative_to !== undefined && other ? stable : null;
  }

  /** Asks for the same of stable, as it was when it last had traffic, and judges both. */
  async #compare(
    metric: Metric,
    value: number,
    stable: Generation,
    before: Looks,
    now: number,
  ): Promise<Compared> {
    const phase = this.#host.journal.state(this.#task.app).deployment?.phase;
    const then = phase?.name === 'baking' ? Math.min(now, phase.switchedAt) : now;
    const total = totalOf(metric);
    const same = await this.#measure(metric, stable, then);
    if ('error' in same) return { error: `of ${stable.release}: ${same.error}` };
    const totals = { candidate: null as number | null, stable: null as number | null };
    if (total !== null) {
      const of = await this.#measure(total, this.#candidate, now);
      const sameOf = await this.#measure(total, stable, then);
      if ('error' in of) return { error: `of: ${of.error}` };
      if ('error' in sameOf) return { error: `of ${stable.release}: ${sameOf.error}` };
      totals.candidate = of.value;
      totals.stable = sameOf.value;
    }
    const { min_requests: minRequests, min_errors: minErrors } = this.#gates;
    const judged = judgeRelative(
      metric.name,
      { value, of: totals.candidate },
      { value: same.value, of: totals.stable, release: stable.release },
      { ...metric, minRequests, minErrors },
      before,
      { from: this.#since, to: now },
      this.#onFail,
    );
    return judged.verdict.outcome === 'error' ? { error: judged.verdict.because } : judged;
  }

  async #measure(metric: Metric, about: Generation, at: number): Promise<Measured> {
    try {
      return await measure(this.#host, this.#task, this.#candidate, metric, about, at);
    } catch (error) {
      if (this.#task.signal.aborted || error instanceof ZddError)
        return { error: 'it cannot be measured' };
      throw error;
    }
  }

  /** Takes the release back, or, where that is what `gates.on.fail` says, tells a person. */
  #fail(verdict: Verdict): void {
    this.#report(verdict);
    if (verdict.action !== 'rollback') {
      this.#memory.objection = tell(verdict);
      return;
    }
    const { release } = this.#candidate;
    throw new ZddError('ZDD_GATE_FAILED', `${release} was rolled back: ${verdict.metric}`, {
      evidence: [['why', tell(verdict)]],
      tries: [`zdd-agent logs --release ${release}`],
    });
  }

  #report(verdict: Verdict): void {
    const { app, deployment, tell: say } = this.#task;
    const phase = this.#host.journal.state(app).deployment?.phase.name ?? 'baking';
    const verdicts = [{ ...verdict, says: tell(verdict) }];
    say({ type: 'judged', app, deployment, phase, verdicts });
  }
}

async function rest(ms: number, ended: AbortSignal): Promise<void> {
  await pause(Math.max(0, ms), ended).catch(() => undefined);
}

function errorOf(result: Measured | Compared | null): string | null {
  return result !== null && 'error' in result ? result.error : null;
}

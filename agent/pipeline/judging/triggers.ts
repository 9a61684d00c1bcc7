import type { Generation } from '../../core/model.ts';
import { type BusinessCounts, judgeBusiness } from '../../core/verdict/business.ts';
import { judgeAlert, judgeMetric } from '../../core/verdict/triggers.ts';
import { DEFAULT_ACTIONS, tell, type Verdict } from '../../core/verdict/verdict.ts';
import { ZddError } from '../../protocol/errors.ts';
import type { Metric } from '../../protocol/triggers.ts';
import { configOf, type Host, type Task } from '../host.ts';
import { pause } from '../pause.ts';
import { measure } from './metric.ts';

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
  const watch = new Triggers(host, task, candidate, deployment.startedAt);
  const each = metrics.map((metric) => watch.metric(metric, ended));
  if (alerts !== undefined) each.push(watch.alerts(alerts, ended));
  await Promise.all(each);
}

class Triggers {
  readonly #host: Host;
  readonly #task: Task;
  readonly #candidate: Generation;
  readonly #since: number;
  readonly #onFail: 'pause' | 'rollback';

  constructor(host: Host, task: Task, candidate: Generation, since: number) {
    this.#host = host;
    this.#task = task;
    this.#candidate = candidate;
    this.#since = since;
    this.#onFail = configOf(host, task.app, candidate).gates.on.fail;
  }

  /** Alerts with these labels that have begun since the rollout did; each is told once. */
  async alerts(wanted: Readonly<Record<string, string>>, ended: AbortSignal): Promise<void> {
    const told = new Set<string>();
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

  async metric(metric: Metric, ended: AbortSignal): Promise<void> {
    const values: Array<number | null> = [];
    let before: BusinessCounts | null = null;
    let complaint = '';
    while (!ended.aborted) {
      const now = this.#host.now();
      const seen = await this.#measure(metric, now, ended);
      if (ended.aborted) return;
      values.push('value' in seen ? seen.value : null);
      const window = { from: this.#since, to: now };
      const error = 'error' in seen ? seen.error : '';
      if (error !== '' && error !== complaint) {
        const verdict = judgeMetric(metric.name, values, metric, window, this.#onFail);
        this.#report({ ...verdict, outcome: 'error', because: error });
      }
      complaint = error;
      if ('value' in seen && 'last_week' in metric && metric.last_week) {
        const then = await this.#measure(metric, now - WEEK_MS, ended);
        const baseline = 'value' in then ? then.value : 0;
        const counts = { candidate: seen.value, baseline, exposure: 1 };
        const actions = { ...DEFAULT_ACTIONS, fail: this.#onFail };
        const verdict = judgeBusiness(metric.name, counts, before, window, actions);
        before = counts;
        if (verdict.outcome === 'fail') this.#fail(verdict);
      }
      const verdict = judgeMetric(metric.name, values, metric, window, this.#onFail);
      if (verdict.outcome === 'fail') {
        this.#fail(verdict);
        values.length = 0;
      }
      await rest(metric.every, ended);
    }
  }

  async #measure(metric: Metric, at: number, ended: AbortSignal): ReturnType<typeof measure> {
    try {
      return await measure(
        this.#host,
        { ...this.#task, signal: ended },
        this.#candidate,
        metric,
        at,
      );
    } catch (error) {
      if (ended.aborted || error instanceof ZddError) return { error: 'it cannot be measured' };
      throw error;
    }
  }

  /** Takes the release back, or, where that is what `gates.on.fail` says, tells a person. */
  #fail(verdict: Verdict): void {
    this.#report(verdict);
    if (verdict.action !== 'rollback') return;
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
  await pause(ms, ended).catch(() => undefined);
}

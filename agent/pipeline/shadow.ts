import type { Generation } from '../core/model.ts';
import { judgeShadow, percentiles, type ShadowLimits } from '../core/verdict/shadow.ts';
import { tell, type Verdict } from '../core/verdict/verdict.ts';
import { ZddError } from '../protocol/errors.ts';
import type { ShadowReport } from '../protocol/shadow.ts';
import { Copies } from './copies.ts';
import { configOf, type Host, type Task } from './host.ts';
import { pause } from './pause.ts';
import { trafficSlots } from './traffic.ts';

const LOOK_EVERY_MS = 250;
const TELL_EVERY_MS = 5_000;

/** How much is copied, how long, and in which phase. */
interface ShadowWish {
  /** Of live requests, 0 to 1. */
  readonly share: number;
  readonly forMs: number;
  readonly phase: 'shadowing' | 'canary';
}

/** What copying has come to, when it is no reason to go back. */
interface Shadowed {
  /** Null: nothing could be copied to it. */
  readonly verdict: Verdict | null;
  readonly summary: string;
}

/** Shadows the candidate as its `zdd.yaml` says. @throws ZDD_SHADOW_FAILED */
export async function shadow(host: Host, task: Task, candidate: Generation): Promise<string> {
  const config = configOf(host, task.app, candidate);
  if (config.shadow === undefined) return 'none';
  const { share, for: forMs } = config.shadow;
  const wish: ShadowWish = { share, forMs, phase: 'shadowing' };
  return (await shadowFor(host, task, candidate, wish)).summary;
}

/**
 * Has live requests answered by the candidate as well, on its own sockets, and compares: before any
 * user is moved. Live traffic waits for none of it. The outcome is told as `shadowed` and `judged`,
 * also when it fails.
 * @throws ZDD_SHADOW_FAILED as soon as the candidate is certain to fail more than the gate allows
 */
export async function shadowFor(
  host: Host,
  task: Task,
  candidate: Generation,
  { share, forMs, phase }: ShadowWish,
): Promise<Shadowed> {
  const { app, deployment, signal } = task;
  const { gates, shadow: wanted } = configOf(host, app, candidate);
  const listens = trafficSlots(host, app, candidate).map(({ spec }) => spec.listen);
  if (wanted === undefined || listens.length === 0) {
    return { verdict: null, summary: 'takes no traffic' };
  }
  const limits: ShadowLimits = {
    errorRate: gates.error_rate,
    minRequests: gates.min_requests,
    minErrors: gates.min_errors,
    actions: { pass: 'proceed', ...gates.on },
  };
  const copies = new Copies({ listens, timeoutMs: wanted.timeout });
  const from = host.now();
  const judge = (over: boolean): Verdict =>
    judgeShadow(copies.tally, limits, { from, to: host.now() }, over);
  const report = (verdict: Verdict): void => {
    const told = { ...verdict, says: tell(verdict) };
    const result = reportOf(copies, candidate, share, host.now() - from);
    task.tell({ type: 'shadowed', app, deployment, shadow: result });
    task.tell({ type: 'judged', app, deployment, phase, verdicts: [told] });
  };
  const mirroring = new AbortController();
  const unable = { why: '' };
  const mirrored = host.proxy
    .mirror(
      { app, share, seen: (copy) => copies.offer(copy) },
      AbortSignal.any([signal, mirroring.signal]),
    )
    .catch((error: unknown) => {
      unable.why = error instanceof Error ? error.message : String(error);
    });
  try {
    let tellAt = from + TELL_EVERY_MS;
    for (let now = from; now < from + forMs; now = host.now()) {
      if (unable.why !== '' || !isOpen(judge(false))) break;
      if (now >= tellAt) {
        tellAt = now + TELL_EVERY_MS;
        const message = summary(copies);
        task.tell({ type: 'progress', app, deployment, phase, message });
      }
      await pause(Math.min(LOOK_EVERY_MS, from + forMs - now), signal);
    }
  } catch (error) {
    copies.abort();
    throw error;
  } finally {
    mirroring.abort();
    await mirrored;
    await copies.close();
  }
  signal.throwIfAborted();
  const verdict = unable.why === '' ? judge(true) : cannotMeasure(judge(true), limits, unable.why);
  report(verdict);
  if (verdict.action === 'rollback') throw refusal(candidate, verdict, copies);
  return { verdict, summary: summary(copies) };
}

/** Whether more copies may still change what is said. */
function isOpen({ outcome, action }: Verdict): boolean {
  return outcome !== 'fail' || action !== 'rollback';
}

function cannotMeasure(verdict: Verdict, limits: ShadowLimits, why: string): Verdict {
  return { ...verdict, outcome: 'error', action: limits.actions.error, because: why };
}

function reportOf(
  copies: Copies,
  { release }: Generation,
  share: number,
  ms: number,
): ShadowReport {
  const { pairs, live, candidate, failed, liveLatency, candidateLatency } = copies.tally;
  return {
    release,
    share,
    ms,
    copied: pairs,
    dropped: copies.dropped,
    unfit: copies.unfit,
    live,
    candidate,
    failed,
    latency: { live: percentiles(liveLatency), candidate: percentiles(candidateLatency) },
  };
}

function summary(copies: Copies): string {
  const { pairs, failed, liveLatency, candidateLatency } = copies.tally;
  const dropped = copies.dropped === 0 ? '' : `, ${copies.dropped} dropped`;
  const unfit = copies.unfit === 0 ? '' : `, ${copies.unfit} not whole`;
  const median = (of: typeof liveLatency): string => {
    const { p50 } = percentiles(of);
    return p50 === null ? '?' : String(p50);
  };
  const latency =
    pairs === 0 ? '' : `, p50 ${median(candidateLatency)} ms (live: ${median(liveLatency)} ms)`;
  return `${pairs} requests copied${dropped}${unfit}, ${failed} failed that live answered${latency}`;
}

function refusal({ release }: Generation, verdict: Verdict, copies: Copies): ZddError {
  const { live, candidate } = copies.tally;
  return new ZddError(
    'ZDD_SHADOW_FAILED',
    `${release} failed copies of live requests that the live release answered`,
    {
      evidence: [
        ['why', tell(verdict)],
        ['live', classes(live)],
        ['candidate', classes(candidate)],
      ],
      tries: [`zdd-agent logs --release ${release}`],
    },
  );
}

function classes(answers: Readonly<Record<string, number>>): string {
  return Object.entries(answers)
    .filter(([, n]) => n > 0)
    .map(([name, n]) => `${n} × ${name === 'none' ? 'no answer' : name}`)
    .join(', ');
}

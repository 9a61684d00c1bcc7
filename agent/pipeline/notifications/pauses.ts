import { candidateOf } from '../../core/model.ts';
import type { ZddEvent } from '../../protocol/events.ts';
import type { VerdictReport } from '../../protocol/verdict.ts';
import type { Host } from '../host.ts';
import type { Pause } from './pause.ts';

/**
 * Whether an event is about a deployment that waits for a person: a gate has paused its canary, or one
 * holds its bake. Null for all others, for what is over by now, and for what was told before.
 */
export function pauseOf(host: Host, event: ZddEvent): Pause | null {
  const { app, deployment: id, at } = event;
  const { deployment, stable } = host.journal.state(app);
  const candidate = deployment === null ? null : candidateOf(deployment.phase);
  if (deployment === null || deployment.id !== id || candidate === null) return null;
  const { phase, kind, owner, source, startedAt } = deployment;
  const waiting = { at, release: candidate.release, previous: stable?.release ?? null };
  const facts = { ...waiting, kind, owner, source, startedAt };
  if (event.type === 'paused' && event.by === 'gate') {
    if (phase.name !== 'canary' || phase.paused === null) return null;
    const { percent } = phase;
    const verdicts = storyOf(host, event).findLast(({ type }) => type === 'judged');
    const seen = verdicts?.type === 'judged' ? verdicts.verdicts : [];
    return { ...facts, phase: 'canary', percent, reason: event.reason, verdicts: seen };
  }
  if (event.type !== 'judged' || event.phase !== 'baking' || phase.name !== 'baking') return null;
  const why = holdsBake(event.verdicts);
  if (why === undefined || wasTold(host, event, why)) return null;
  const { verdicts } = event;
  return { ...facts, phase: 'baking', percent: 100, reason: why.says, verdicts };
}

/** Whether there is nothing to wait for any more: nobody has to be called for it. */
export function isOver(host: Host, app: string, id: number, pause: Pause): boolean {
  const { deployment } = host.journal.state(app);
  if (deployment?.id !== id) return true;
  const { phase } = deployment;
  return pause.phase === 'canary'
    ? phase.name !== 'canary' || phase.paused === null
    : phase.name !== 'baking';
}

/**
 * The verdict that a person is asked about while a bake goes on. That it is slower than before is said
 * when the bake has ended, so with the end.
 */
export function holdsBake(verdicts: readonly VerdictReport[]): VerdictReport | undefined {
  return verdicts.find(
    ({ gate, held, outcome, action }) =>
      held === true || (outcome === 'fail' && action === 'pause' && gate !== 'relative-latency'),
  );
}

/** A bake that is watched anew, after a restart of the agent, says again what its gates hold. */
function wasTold(host: Host, event: ZddEvent, why: VerdictReport): boolean {
  return storyOf(host, event).some((told) => {
    if (told.type !== 'judged' || told.phase !== 'baking' || told.seq >= event.seq) return false;
    const before = holdsBake(told.verdicts);
    return before?.gate === why.gate && before.metric === why.metric;
  });
}

function storyOf(host: Host, { app, deployment, seq }: ZddEvent): ZddEvent[] {
  if (deployment === null) return [];
  return host.journal.events({ app, deployment, since: 0 }).filter((told) => told.seq <= seq);
}

import type { Generation } from '../core/model.ts';
import { overall } from '../core/verdict/judge.ts';
import type { Host, Task } from './host.ts';
import { type Seen, Watch } from './judging/watch.ts';

/**
 * Watches the candidate under all traffic until `until`. Whatever fails a gate ends the wait at
 * once. While stable has the same trouble nothing is decided, for as long again at most.
 * @throws ZDD_GATE_FAILED with metric, value, limit, n and interval.
 */
export async function bake(
  host: Host,
  task: Task,
  candidate: Generation,
  until: number,
): Promise<string> {
  const phase = host.journal.state(task.app).deployment?.phase;
  const since = phase?.name === 'baking' ? phase.switchedAt : host.now();
  const watch = new Watch(host, task, { candidate, phase: 'baking', since });
  const longest = until + (until - watch.started);
  try {
    for (;;) {
      const seen = await watch.look();
      if (seen.now >= until && (seen.held === null || seen.now >= longest)) {
        return conclude(watch, seen);
      }
      await watch.rest(until - seen.now);
    }
  } finally {
    watch.close();
  }
}

/** The end of the bake: what is not known is said, and done about as configured. */
function conclude(watch: Watch, seen: Seen): string {
  const { verdicts, evidence } = seen;
  const all = [...verdicts, ...watch.relative(seen)];
  const unknown = verdicts.find(({ action }) => action === 'rollback');
  if (overall(verdicts) === 'inconclusive' && unknown !== undefined) {
    throw watch.refusal(unknown, all, evidence);
  }
  watch.report(all);
  return watch.summary(evidence);
}

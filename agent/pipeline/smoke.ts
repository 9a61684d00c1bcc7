import type { Generation } from '../core/model.ts';
import type { SmokeCheck } from '../protocol/app-config.ts';
import { ZddError } from '../protocol/errors.ts';
import { configOf, type Host, type HostSlot, type Task } from './host.ts';
import { ask } from './http-question.ts';
import { shortName } from './probe.ts';
import { trafficSlots } from './traffic.ts';

/** Asks the candidate itself, before any user does. One wrong answer refuses the release. */
export async function smoke(host: Host, task: Task, candidate: Generation): Promise<string> {
  const checks = configOf(host, task.app, candidate).smoke;
  const [slot] = trafficSlots(host, task.app, candidate);
  if (checks.length === 0 || slot === undefined) return 'none';
  for (const check of checks) await pass(task, slot, check);
  return `${checks.length} of ${checks.length} passed`;
}

async function pass(task: Task, slot: HostSlot, check: SmokeCheck): Promise<void> {
  const answer = await ask({
    listen: slot.spec.listen,
    method: check.method,
    path: check.path,
    timeoutMs: check.within,
    signal: task.signal,
  });
  const wrong =
    answer.got === 'nothing'
      ? answer.error
      : answer.status !== check.status
        ? `${answer.status}, expected ${check.status}: ${answer.body.slice(0, 200)}`
        : check.contains !== undefined && !answer.body.includes(check.contains)
          ? `the answer lacks ${JSON.stringify(check.contains)}: ${answer.body.slice(0, 200)}`
          : null;
  if (wrong === null) return;
  throw new ZddError(
    'ZDD_SMOKE_FAILED',
    `${check.method} ${check.path} of ${shortName(slot)} failed its smoke check`,
    {
      evidence: [['last answer', wrong]],
      tries: [`zdd-agent logs --release ${slot.generation.release}`],
    },
  );
}

import type { Generation } from '../core/model.ts';
import { startsBeforeTraffic } from '../core/plan.ts';
import type { Host, Task } from './host.ts';
import { describeSlots, ensureSlots, startSlots } from './instances.ts';

/** Starts the candidate's instances on fresh sockets; those that must not overlap wait. */
export async function start(host: Host, task: Task, candidate: Generation): Promise<string> {
  const slots = await ensureSlots(host, task.app, candidate);
  const now = slots.filter(startsBeforeTraffic);
  const later = slots.filter((slot) => !startsBeforeTraffic(slot));
  await startSlots(host, now, task.signal);
  return [
    describeSlots(now),
    later.length === 0 ? '' : `${describeSlots(later)} (after the old one)`,
  ]
    .filter((part) => part !== '')
    .join(', ');
}

import type { Generation } from '../core/model.ts';
import { startsBeforeTraffic } from '../core/plan.ts';
import { configOf, type Host, type Task } from './host.ts';
import { describeSlots, ensureSlots, prepareApp, startSlots } from './instances.ts';

/** Starts the candidate's instances on fresh sockets; those that must not overlap wait. */
export async function start(host: Host, task: Task, candidate: Generation): Promise<string> {
  // Again, after `unpack`: a rollback to a release that no longer runs begins here.
  await prepareApp(host, task.app, configOf(host, task.app, candidate), task.signal);
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

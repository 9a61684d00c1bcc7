import type { Generation } from '../core/model.ts';
import { startsBeforeTraffic } from '../core/plan.ts';
import { configOf, type Host, type Task } from './host.ts';
import {
  describeScale,
  describeSlots,
  ensureSlots,
  prepareApp,
  scaleOf,
  startSlots,
} from './instances.ts';

/** Starts the candidate's instances on fresh sockets; those that must not overlap wait. */
export async function start(host: Host, task: Task, candidate: Generation): Promise<string> {
  // Again, after `unpack`: all that begins with a release that is known begins here.
  const config = configOf(host, task.app, candidate);
  await prepareApp(host, task.app, config, task.signal);
  const slots = await ensureSlots(host, task.app, candidate);
  const now = slots.filter(startsBeforeTraffic);
  const later = slots.filter((slot) => !startsBeforeTraffic(slot));
  await startSlots(host, now, task.signal);
  return [
    describeSlots(now),
    later.length === 0 ? '' : `${describeSlots(later)} (after the old one)`,
    describeScale(config, scaleOf(host.journal.state(task.app))),
  ]
    .filter((part) => part !== '')
    .join(', ');
}

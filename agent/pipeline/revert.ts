import type { Generation } from '../core/model.ts';
import type { Host, Task } from './host.ts';
import { startSlots } from './instances.ts';
import { pause } from './pause.ts';
import { handBackWorkers } from './promote.ts';
import { moveTraffic } from './switch.ts';
import { trafficSlots } from './traffic.ts';

/** The way back: the previous release takes all new requests, then its workers work again. */
export async function revert(
  host: Host,
  task: Task,
  candidate: Generation | null,
  previous: Generation | null,
  attempt: number,
): Promise<string> {
  if (attempt > 1) await pause(Math.min(attempt * 250, 5_000), task.signal);
  if (previous !== null) {
    // Warm, so they run; after a reboot in the middle they may not.
    await startSlots(host, trafficSlots(host, task.app, previous), task.signal);
  }
  const said = await moveTraffic(host, task);
  await handBackWorkers(host, task, candidate, previous);
  return said;
}

import type { Generation } from '../core/model.ts';
import type { Host, Task } from './host.ts';
import { stopSlots } from './instances.ts';

/**
 * Stops a generation that nothing uses any more: HAProxy is told first, and has confirmed that no
 * request can reach it, when its instances get their SIGTERM.
 */
export async function stop(host: Host, task: Task, generation: Generation): Promise<void> {
  await host.traffic.apply(host, task.signal);
  const started = performance.now();
  await stopSlots(host, host.slots.of(task.app, generation), task.signal);
  task.tell({
    type: 'release_stopped',
    app: task.app,
    deployment: task.deployment,
    release: generation.release,
    ms: performance.now() - started,
  });
}

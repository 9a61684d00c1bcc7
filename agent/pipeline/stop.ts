import type { Generation, Retirement } from '../core/model.ts';
import type { NewEvent } from '../protocol/events.ts';
import { drain } from './drain.ts';
import type { Host, Task } from './host.ts';
import { describeSlots, stopSlots } from './instances.ts';

/**
 * Stops a generation that nothing uses any more: HAProxy is told first, and has confirmed that no
 * request can reach it, when its instances get their SIGTERM.
 */
export async function stop(host: Host, task: Task, generation: Generation): Promise<void> {
  await host.traffic.apply(host, task.signal, task.app);
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

/** Lets what has begun come to its end, with a word now and then to whoever watches the stop. */
export async function emptyOut(host: Host, task: Task, retirement: Retirement): Promise<string> {
  const tell = (event: NewEvent): void => {
    task.tell(event);
    if (event.type !== 'draining') return;
    const { app, deployment, requests, websockets } = event;
    const message = `${requests} requests and ${websockets} WebSockets left`;
    task.tell({ type: 'progress', app, deployment, phase: 'draining', message });
  };
  return await drain(host, { ...task, tell }, retirement);
}

/** The end of a stop: every instance, workers too. Nothing of the app runs after it. */
export async function halt(host: Host, task: Task, leaving: Generation): Promise<string> {
  const slots = host.slots.of(task.app, leaving);
  await stop(host, task, leaving);
  return describeSlots(slots);
}

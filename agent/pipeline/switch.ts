import type { Generation } from '../core/model.ts';
import { servingGeneration, trafficOf } from '../core/traffic.ts';
import type { Applied } from '../haproxy/proxy.ts';
import type { Host, Task } from './host.ts';
import { takesTraffic } from './traffic.ts';

/** Makes the candidate known to HAProxy, at weight 0, and lets HAProxy itself check it. */
export async function admit(host: Host, task: Task, candidate: Generation): Promise<string> {
  if (!takesTraffic(host, task.app, candidate)) return 'takes no traffic';
  const applied = await host.traffic.apply(host, task.signal);
  return applied.reloaded ? 'HAProxy reaches it (reloaded)' : 'HAProxy reaches it';
}

/** Moves all new requests to the candidate, or, on the way back, to the previous release. */
export async function moveTraffic(host: Host, task: Task): Promise<string> {
  const serving = servingGeneration(host.journal.state(task.app));
  const moved = await host.traffic.move(host, task.signal);
  if (serving === null || !takesTraffic(host, task.app, serving)) {
    return 'takes no traffic';
  }
  tellMoved(host, task, moved);
  return `all new requests on ${serving.release}`;
}

function tellMoved(host: Host, task: Task, { switchMs, reloaded }: Applied): void {
  const shares = trafficOf(host.journal.state(task.app)).map(
    ({ generation, weight }) => [generation.release, weight > 0 ? 100 : 0] as const,
  );
  task.tell({
    type: 'traffic_moved',
    app: task.app,
    deployment: task.deployment,
    shares: Object.fromEntries(shares.toSorted((a, b) => a[1] - b[1])),
    ms: switchMs,
    reloaded,
  });
}

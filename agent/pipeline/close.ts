import type { Generation } from '../core/model.ts';
import type { Host, Task } from './host.ts';
import { takesTraffic } from './traffic.ts';

/**
 * Takes an app out of traffic: all weights fall to 0 in one transaction. What has begun runs on;
 * whoever comes from now on is told by HAProxy to come back later. No reload: the file stays alike
 * but for the weights.
 */
export async function close(host: Host, task: Task, leaving: Generation): Promise<string> {
  if (!takesTraffic(host, task.app, leaving)) return 'takes no traffic';
  const { switchMs, reloaded } = await host.traffic.move(host, task.signal, task.app);
  const { app, deployment } = task;
  const shares = { [leaving.release]: 0 };
  task.tell({ type: 'traffic_moved', app, deployment, shares, ms: switchMs, reloaded });
  return 'no new requests: HAProxy answers 503 with Retry-After';
}

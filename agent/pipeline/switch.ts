import type { Generation } from '../core/model.ts';
import { canaryShare, percentOf, servingGeneration, trafficOf } from '../core/traffic.ts';
import type { Applied } from '../haproxy/proxy.ts';
import type { Host, Task } from './host.ts';
import { takesTraffic } from './traffic.ts';

/** Makes the candidate known to HAProxy, at weight 0, and lets HAProxy itself check it. */
export async function admit(host: Host, task: Task, candidate: Generation): Promise<string> {
  if (!takesTraffic(host, task.app, candidate)) return 'takes no traffic';
  const applied = await host.traffic.apply(host, task.signal, task.app);
  // What stable has done so far is what the candidate is measured by, by whichever agent is there then.
  await host.proxy.keepSignals();
  return applied.reloaded ? 'HAProxy reaches it (reloaded)' : 'HAProxy reaches it';
}

/** Moves all new requests to the candidate, or, on the way back, to the previous release. */
export async function moveTraffic(host: Host, task: Task): Promise<string> {
  const serving = servingGeneration(host.journal.state(task.app));
  const moved = await host.traffic.move(host, task.signal, task.app);
  if (serving === null || !takesTraffic(host, task.app, serving)) {
    return 'takes no traffic';
  }
  tellMoved(host, task, moved);
  return `all new requests on ${serving.release}`;
}

/** Gives the candidate its share of the users. */
export async function moveUsers(host: Host, task: Task): Promise<string> {
  const share = canaryShare(host.journal.state(task.app));
  const began = performance.now();
  const { reloaded } = await host.traffic.apply(host, task.signal);
  if (share === null || !takesTraffic(host, task.app, share.candidate)) return 'takes no traffic';
  tellMoved(host, task, { switchMs: performance.now() - began, reloaded });
  return `${share.percent} % of the users on ${share.candidate.release}`;
}

/** Gives some more instances their part of the traffic, or takes it from some. */
export async function moveInstances(
  host: Host,
  task: Task,
  candidate: Generation,
): Promise<string> {
  const moved = await host.traffic.move(host, task.signal, task.app);
  tellMoved(host, task, moved);
  return `${percentOf(host.journal.state(task.app), candidate)} % of new requests on ${candidate.release}`;
}

function tellMoved(
  host: Host,
  task: Task,
  { switchMs, reloaded }: Pick<Applied, 'switchMs' | 'reloaded'>,
): void {
  const state = host.journal.state(task.app);
  const shares = trafficOf(state).map(
    ({ generation }) => [generation.release, percentOf(state, generation)] as const,
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

import type { Retirement } from '../core/model.ts';
import type { ServerConnections } from '../haproxy/proxy.ts';
import type { Host, Task } from './host.ts';
import { pause } from './pause.ts';
import { trafficSlots } from './traffic.ts';

const LOOK_EVERY_MS = 200;
const TELL_EVERY_MS = 5_000;

/**
 * Waits until nothing uses a generation any more. Requests in flight run to their end; WebSockets
 * stay until their own deadline and are then closed at a pace, so that clients do not come back in
 * one herd. While it waits the generation is warm.
 */
export async function drain(host: Host, task: Task, retirement: Retirement): Promise<string> {
  const { generation, warmUntil, requestsUntil, closeFrom, pacePerSecond } = retirement;
  const servers = trafficSlots(host, task.app, generation).map(({ name }) => name);
  const tell = storyteller(task, generation.release, closeFrom);
  let credit = 0;
  let lastLook = host.now();
  for (;;) {
    const now = host.now();
    const left = sum(await host.proxy.connections(task.app, servers, task.signal));
    tell(left, now);
    const overdue = now >= requestsUntil;
    const busy = left.websockets > 0 || (!overdue && (left.requests > 0 || left.reachable));
    if (!busy && now >= warmUntil) return 'no connections left';
    if (now >= closeFrom && left.websockets > 0) {
      // At most one second's worth, however long a look took: a pace, not a debt.
      credit = Math.min(credit + ((now - lastLook) / 1_000) * pacePerSecond, pacePerSecond);
      const count = Math.floor(credit);
      if (count > 0) {
        credit -= await host.proxy.closeWebSockets(task.app, servers, count, task.signal);
      }
    }
    lastLook = now;
    await pause(LOOK_EVERY_MS, task.signal);
  }
}

interface Left {
  readonly requests: number;
  readonly websockets: number;
  readonly reachable: boolean;
}

function sum(connections: readonly ServerConnections[]): Left {
  return {
    requests: connections.reduce((total, { requests }) => total + requests, 0),
    websockets: connections.reduce((total, { websockets }) => total + websockets, 0),
    reachable: connections.some(({ reachableByOldWorker }) => reachableByOldWorker),
  };
}

/** One line when draining begins and when its end is near, and few between. */
function storyteller(
  task: Task,
  release: string,
  closingFrom: number,
): (left: Left, now: number) => void {
  let told = '';
  let tellAt = 0;
  return ({ requests, websockets }, now) => {
    const news = `${requests} ${websockets}`;
    if (news === told || now < tellAt) return;
    told = news;
    tellAt = now + TELL_EVERY_MS;
    const { app, deployment } = task;
    task.tell({ type: 'draining', app, deployment, release, requests, websockets, closingFrom });
  };
}

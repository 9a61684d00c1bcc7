import type { Retirement } from '../core/model.ts';
import type { OpenConnection, ServerConnections } from '../haproxy/proxy.ts';
import type { Host, Task } from './host.ts';
import { giveNotice } from './notice.ts';
import { shuffled } from './pace.ts';
import { pause } from './pause.ts';
import { trafficSlots } from './traffic.ts';

const LOOK_EVERY_MS = 200;
const TELL_EVERY_MS = 5_000;
/** While connections are closed: a few at a time, never on the beat. */
const CLOSE_EVERY_MS = { least: 25, spread: 50 };
/** What a journal of an older agent does not say. */
const DEFAULT_REQUESTS_MS = 600_000;

/**
 * Waits until nothing uses a generation any more. WebSockets and streams stay until their deadline,
 * requests until theirs; what is left then is closed in random order at the pace of the app, so that
 * clients do not come back in one herd. A request that has not run for as long as requests may is
 * never closed. While it waits the generation is warm.
 * @param slots of its instances, those that leave; all of them unless given
 */
export async function drain(
  host: Host,
  task: Task,
  retirement: Retirement,
  slots = trafficSlots(host, task.app, retirement.generation),
): Promise<string> {
  const { generation, warmUntil, closeFrom, lingered = false } = retirement;
  // Before the look for the last one: whose users may stay is not empty, however idle it is.
  if (lingered) await host.traffic.apply(host, task.signal, task.app);
  const servers = slots.map(({ name }) => name);
  if (servers.length > 0) giveNotice(host, task, retirement, slots);
  const tell = storyteller(task, generation.release, closeFrom);
  const closer = new Closer(host, task, retirement, servers);
  let left = NOTHING;
  let lookAt = 0;
  for (;;) {
    const now = host.now();
    if (now >= lookAt) {
      lookAt = now + LOOK_EVERY_MS;
      left = sum(await host.proxy.connections(task.app, servers, task.signal));
      tell(left, now);
      const held = left.requests + left.websockets + left.streams > 0 || left.reachable;
      if (!held && now >= warmUntil) return 'no connections left';
      await closer.watch(left);
    }
    const closing = await closer.close(left);
    const { least, spread } = CLOSE_EVERY_MS;
    await pause(closing ? least + Math.random() * spread : LOOK_EVERY_MS, task.signal);
  }
}

/** Waits while the users of a replaced release may stay on it. */
export async function linger(host: Host, { signal }: Task, until: number): Promise<void> {
  for (;;) {
    const leftMs = until - host.now();
    if (leftMs <= 0) return;
    await pause(Math.min(leftMs, TELL_EVERY_MS), signal);
  }
}

interface Left {
  readonly requests: number;
  readonly websockets: number;
  readonly streams: number;
  readonly reachable: boolean;
}

const NOTHING: Left = { requests: 0, websockets: 0, streams: 0, reachable: false };

function sum(connections: readonly ServerConnections[]): Left {
  const total = (of: (one: ServerConnections) => number): number =>
    connections.reduce((all, one) => all + of(one), 0);
  return {
    requests: total(({ requests }) => requests),
    websockets: total(({ websockets }) => websockets),
    streams: total(({ streams }) => streams),
    reachable: connections.some(({ reachableByOldWorker }) => reachableByOldWorker),
  };
}

/** Closes what has outstayed its deadline. */
class Closer {
  readonly #host: Host;
  readonly #task: Task;
  readonly #retirement: Retirement;
  readonly #servers: readonly string[];
  /** Requests on old workers, where new ones may begin, and when each was seen first. */
  #seenAt = new Map<string, number>();
  /** Due, in the order in which they go. */
  #queue: OpenConnection[] = [];
  readonly #asked = new Set<string>();

  constructor(host: Host, task: Task, retirement: Retirement, servers: readonly string[]) {
    this.#host = host;
    this.#task = task;
    this.#retirement = retirement;
    this.#servers = servers;
  }

  /** Notes which requests there are: how long one has run is known by having seen it. */
  async watch({ requests }: Left): Promise<void> {
    if (requests > 0) await this.#list();
  }

  /** Closes what the pace allows now. @returns whether something is left to close */
  async close({ requests, websockets, streams }: Left): Promise<boolean> {
    const { requestsUntil, closeFrom, pacePerSecond } = this.#retirement;
    const now = this.#host.now();
    const due =
      (now >= closeFrom && websockets + streams > 0) || (now >= requestsUntil && requests > 0);
    if (!due) return false;
    if (this.#queue.length === 0) {
      this.#queue = shuffled((await this.#list()).filter((one) => this.#isDue(one, now)));
      if (this.#queue.length === 0) return false;
    }
    const { pace, signal } = this.#task;
    const count = pace.take(pacePerSecond, this.#queue.length, this.#host.now());
    if (count === 0) return true;
    const some = this.#queue.splice(0, count);
    for (const one of some) this.#asked.add(keyOf(one));
    pace.giveBack(count - (await this.#host.proxy.closeConnections(some, signal)));
    return true;
  }

  async #list(): Promise<readonly OpenConnection[]> {
    const { app, signal } = this.#task;
    const all = await this.#host.proxy.openConnections(app, this.#servers, signal);
    const now = this.#host.now();
    const requests = all.filter(({ kind, isOld }) => kind === 'request' && isOld);
    this.#seenAt = new Map(
      requests.map((one) => [keyOf(one), this.#seenAt.get(keyOf(one)) ?? now]),
    );
    return all;
  }

  /**
   * What the current worker has began before the switch, so it is as old as its deadline is long.
   * An old worker gives a client one more request, which has its own time.
   */
  #isDue(one: OpenConnection, now: number): boolean {
    const { requestsUntil, requestsMs = DEFAULT_REQUESTS_MS, closeFrom } = this.#retirement;
    if (this.#asked.has(keyOf(one))) return false;
    if (one.kind !== 'request') return now >= closeFrom;
    const seenAt = one.isOld ? (this.#seenAt.get(keyOf(one)) ?? now) : now - requestsMs;
    return now >= requestsUntil && now - seenAt >= requestsMs;
  }
}

function keyOf({ worker, id }: OpenConnection): string {
  return `${worker} ${id}`;
}

/** One line when draining begins and when its end is near, and few between. */
function storyteller(
  task: Task,
  release: string,
  closingFrom: number,
): (left: Left, now: number) => void {
  let told = '';
  let tellAt = 0;
  return ({ requests, websockets, streams }, now) => {
    const news = `${requests} ${websockets} ${streams}`;
    if (news === told || now < tellAt) return;
    told = news;
    tellAt = now + TELL_EVERY_MS;
    const { app, deployment } = task;
    const left = { requests, websockets, streams };
    task.tell({ type: 'draining', app, deployment, release, ...left, closingFrom });
  };
}

import { judgeDrift, type Recurrences, restsUntil } from '../../core/drift.ts';
import { isMoving } from '../../core/traffic.ts';
import { ZddError } from '../../protocol/errors.ts';
import type { DriftKnowledge, Host } from '../host.ts';
import type { Deploys } from '../wishes/deploys.ts';

/** How often journal, file and running HAProxy are held against each other, ms. */
const LOOK_EVERY_MS = 4_000;
/** What is being moved differs on purpose, but not for longer than this, ms: then it is stuck. */
const MOVING_MS = 10_000;

/** What the daemon knows of drift beside what it sees now; shown in `status`. */
export class DriftWatch implements DriftKnowledge {
  #recurrences: Recurrences = new Map();
  #failure: ZddError | null = null;

  /** Why HAProxy could not be made true at the last try; null when it could. */
  get failure(): ZddError | null {
    return this.#failure;
  }

  /** Until when a difference is left alone, ms; null when it is not. */
  restsUntil(what: string, now: number): number | null {
    return restsUntil(this.#recurrences, what, now);
  }

  /** Looks once, and repairs what does not rest. @throws what HAProxy's room throws */
  async look(host: Host, signal: AbortSignal): Promise<void> {
    try {
      await this.#repair(host, signal);
      this.#failure = null;
    } catch (error) {
      signal.throwIfAborted();
      this.#failure = error instanceof ZddError ? error : null;
      throw error;
    }
  }

  async #repair(host: Host, signal: AbortSignal): Promise<void> {
    const differences = await host.traffic.inspect(host, signal).catch(async () => {
      // An embedded HAProxy that died is started again by this, another one is waited for.
      await host.proxy.open(signal);
      return await host.traffic.inspect(host, signal);
    });
    const now = host.now();
    const found = differences.map(({ what }) => what);
    const { repair, nowResting, recurrences } = judgeDrift(this.#recurrences, found, now);
    if (repair.length > 0) await host.traffic.apply(host, signal);
    this.#recurrences = recurrences;
    for (const what of repair) {
      host.journal.tell({ type: 'drift', app: '', deployment: null, what, repaired: true });
    }
    for (const what of nowResting) {
      const until = new Date(this.restsUntil(what, now) ?? now).toISOString();
      const told = `${what}; it came back after each repair, so it is left alone until ${until}`;
      host.journal.tell({ type: 'drift', app: '', deployment: null, what: told, repaired: false });
    }
  }
}

/**
 * Looks now and then whether HAProxy still does what the journal says: after an admin's reload, a
 * crash, a `set server` by hand. What differs is told once and repaired, unless somebody else brings
 * it back again and again.
 */
export async function keepTrue(
  host: Host,
  deploys: Deploys,
  signal: AbortSignal,
  wait: (ms: number, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  let down = '';
  let restedAt = host.now();
  while (!signal.aborted) {
    await wait(LOOK_EVERY_MS, signal);
    const moving = host.journal.apps().some((app) => isMoving(deploys.run(app).state));
    if (!moving) restedAt = host.now();
    else if (host.now() - restedAt < MOVING_MS) continue;
    try {
      await host.drift.look(host, signal);
      down = '';
    } catch (error) {
      signal.throwIfAborted();
      const message = error instanceof Error ? error.message : String(error);
      if (message !== down) host.log.error({ err: error }, 'HAProxy cannot be made true');
      down = message;
    }
  }
}

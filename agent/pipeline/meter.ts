import type { AppCounters } from '../haproxy/proxy.ts';

/** What HAProxy saw of an app while a deployment ran. */
export interface Tally {
  readonly requests: number;
  /** Requests HAProxy had to answer itself with 5xx: no instance did. */
  readonly lost: number;
  /** 5xx answers that the app gave. */
  readonly appErrors: number;
}

/**
 * Adds up HAProxy's counters over a deployment. They restart at 0 with each worker, and a server's
 * go with the server, so only differences between two looks count.
 */
export class Meter {
  #last: AppCounters | null = null;
  #requests = 0;
  #responses5xx = 0;
  #turnedAway = 0;
  #appErrors = 0;

  add(now: AppCounters): void {
    const before = this.#last;
    this.#last = now;
    if (before === null) return;
    const restarted = now.requests < before.requests;
    this.#requests += now.requests - (restarted ? 0 : before.requests);
    this.#responses5xx += now.responses5xx - (restarted ? 0 : before.responses5xx);
    this.#turnedAway += now.turnedAway - (restarted ? 0 : before.turnedAway);
    for (const [name, server] of now.servers) {
      const earlier = before.servers.get(name)?.responses5xx ?? 0;
      const reset = restarted || server.responses5xx < earlier;
      this.#appErrors += server.responses5xx - (reset ? 0 : earlier);
    }
  }

  tally(): Tally {
    return {
      requests: Math.max(0, this.#requests - this.#turnedAway),
      lost: Math.max(0, this.#responses5xx - this.#appErrors - this.#turnedAway),
      appErrors: this.#appErrors,
    };
  }
}

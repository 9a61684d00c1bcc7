import type { AppCounters } from '../haproxy/proxy.ts';

/** What HAProxy saw of an app while a deployment ran. */
export interface Tally {
  readonly requests: number;
  /** Requests HAProxy had to answer itself with 5xx, while a release served: no instance did. */
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
  #lost = 0;
  #appErrors = 0;

  /** @param served whether somebody was there for every request since the last look */
  add(now: AppCounters, served: boolean): void {
    const before = this.#last;
    this.#last = now;
    if (before === null) return;
    const restarted = now.requests < before.requests;
    const since = (key: 'requests' | 'responses5xx' | 'turnedAway'): number =>
      now[key] - (restarted ? 0 : before[key]);
    let byServers = 0;
    for (const [name, server] of now.servers) {
      const earlier = before.servers.get(name)?.responses5xx ?? 0;
      const reset = restarted || server.responses5xx < earlier;
      byServers += server.responses5xx - (reset ? 0 : earlier);
    }
    const turnedAway = since('turnedAway');
    this.#requests += since('requests') - turnedAway;
    this.#appErrors += byServers;
    if (served) this.#lost += since('responses5xx') - byServers - turnedAway;
  }

  tally(): Tally {
    return {
      requests: Math.max(0, this.#requests),
      lost: Math.max(0, this.#lost),
      appErrors: this.#appErrors,
    };
  }
}

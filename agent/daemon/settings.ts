import { isDeepStrictEqual } from 'node:util';
import type { Configuration } from '../configuration.ts';

/** Parts of the configuration that everything reads anew each time it needs them. */
const LIVE = [
  'logLevel',
  'limits',
  'certificates',
  'acme',
  'ports',
  'path',
  'haproxy.bind',
  'haproxy.switchBy',
  'haproxy.bindTls',
  'haproxy.http3',
  'haproxy.maxOldWorkers',
] as const;

/** The names in `agent.yaml` of what `changes` tells. */
const NAMES: Readonly<Record<string, string>> = {
  stateDir: 'state_dir',
  runDir: 'run_dir',
  socketsDir: 'sockets_dir',
  logLevel: 'log_level',
  'haproxy.bindTls': 'haproxy.bind_tls',
  'haproxy.adminSocket': 'haproxy.admin_socket',
  'haproxy.masterSocket': 'haproxy.master_socket',
  'haproxy.switchBy': 'haproxy.switch',
  'haproxy.maxOldWorkers': 'haproxy.max_old_workers',
  'haproxy.adminSocketInRegion': 'haproxy.admin_socket_in_region',
};

/** What differs between two configurations, in the words of `agent.yaml`. */
export interface Changes {
  /** Can change while the daemon runs. */
  readonly live: readonly string[];
  /** Takes effect at the next start. */
  readonly needsRestart: readonly string[];
}

/** The configuration in force. It changes with `systemctl reload`, as far as it can. */
export class Settings {
  #current: Configuration;

  constructor(first: Configuration) {
    this.#current = first;
  }

  get current(): Configuration {
    return this.#current;
  }

  /**
   * Puts what can change while the daemon runs into force; the rest stays as it was.
   * @returns the way back
   */
  replace(next: Configuration): () => void {
    const before = this.#current;
    const { logLevel, limits, certificates, acme, ports, path } = next;
    const { bind, bindTls, http3, switchBy, maxOldWorkers } = next.haproxy;
    const haproxy = { ...before.haproxy, bind, bindTls, http3, switchBy, maxOldWorkers };
    this.#current = { ...before, logLevel, limits, certificates, acme, ports, path, haproxy };
    return () => {
      this.#current = before;
    };
  }
}

/** What differs between two configurations. Pure. */
export function changes(before: Configuration, after: Configuration): Changes {
  const then = flat(before);
  const now = flat(after);
  const different = Object.keys(now).filter((key) => !isDeepStrictEqual(then[key], now[key]));
  const isLive = (key: string): boolean => LIVE.some((live) => live === key);
  const named = (keys: readonly string[]): string[] => keys.map((key) => NAMES[key] ?? key);
  return {
    live: named(different.filter(isLive)),
    needsRestart: named(different.filter((key) => !isLive(key))),
  };
}

function flat({ haproxy, ...rest }: Configuration): Record<string, unknown> {
  const inside = Object.entries(haproxy).map(([key, value]) => [`haproxy.${key}`, value]);
  return { ...rest, ...Object.fromEntries(inside) };
}

/** Addresses of the servers a region names: backend -> server -> `unix@/path` or `host:port`. */
export type WrittenServers = ReadonlyMap<string, ReadonlyMap<string, string>>;

/**
 * Reads the servers of a region back: HAProxy does not tell at runtime where a unix server points,
 * so the file is the only place that knows.
 */
export function writtenServers(region: string): WrittenServers {
  const backends = new Map<string, Map<string, string>>();
  let current: Map<string, string> | undefined;
  for (const line of region.split('\n')) {
    const backend = /^backend\s+(\S+)/.exec(line)?.[1];
    const server = /^\s+server\s+(\S+)\s+(\S+)/.exec(line);
    if (backend !== undefined) {
      current = new Map();
      backends.set(backend, current);
    } else if (/^\S/.test(line)) current = undefined;
    else if (server?.[1] !== undefined && server[2] !== undefined) {
      current?.set(server[1], server[2]);
    }
  }
  return backends;
}

/** `chroot` of the global sections of a file's admin part; the last one wins, as in HAProxy. */
export function chrootOf(text: string): string | undefined {
  const chroot = globalLines(text)
    .findLast(([first]) => first === 'chroot')?.[1]
    ?.replace(/^"(.*)"$/, '$1')
    .replace(/\/+$/, '');
  return chroot === '' ? undefined : chroot;
}

/** `user` (or `uid`) of the global sections; undefined: HAProxy stays who starts it. */
export function globalUser(text: string): string | undefined {
  return globalLines(text).findLast(([first]) => first === 'user' || first === 'uid')?.[1];
}

/** What the global sections say that a deploy depends on. */
export interface GlobalSettings {
  /** ms; null: old workers are never cut off. */
  readonly hardStopAfterMs: number | null;
  /** Connections to the admin sockets; null: HAProxy's default of 10. */
  readonly statsMaxconn: number | null;
}

/** Reads the settings of all global sections; the last one wins, as in HAProxy. */
export function globalSettings(text: string): GlobalSettings {
  const lines = globalLines(text);
  const hardStop = lines.findLast(([first]) => first === 'hard-stop-after')?.[1];
  const maxconn = lines.findLast(([first, second]) => first === 'stats' && second === 'maxconn');
  return {
    hardStopAfterMs: hardStop === undefined ? null : timeMs(hardStop),
    statsMaxconn: maxconn === undefined ? null : Number(maxconn[2]),
  };
}

/** A time as HAProxy writes it: milliseconds unless it has a unit (configuration guide, 2.5). */
function timeMs(text: string): number | null {
  const found = /^(\d+)(us|ms|s|m|h|d)?$/.exec(text);
  if (found === null) return null;
  const unit = { us: 0.001, ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  const [, amount, name = 'ms'] = found;
  return Number(amount) * (Object.entries(unit).find(([key]) => key === name)?.[1] ?? 1);
}

/** The lines of all global sections, in words, without comments. */
function globalLines(text: string): string[][] {
  let section = '';
  const lines: string[][] = [];
  for (const raw of text.split('\n')) {
    const words = raw.replace(/#.*/, '').trim().split(/\s+/);
    const [first = ''] = words;
    if (SECTIONS.has(first)) section = first;
    else if (section === 'global' && first !== '') lines.push(words);
  }
  return lines;
}

/** The words that begin a section. */
export const SECTIONS: ReadonlySet<string> = new Set([
  'global',
  'defaults',
  'frontend',
  'backend',
  'listen',
  'peers',
  'resolvers',
  'userlist',
  'mailers',
  'program',
  'ring',
  'cache',
  'http-errors',
  'fcgi-app',
  'log-forward',
  'crt-store',
  'log-profile',
  'traces',
  'acme',
]);

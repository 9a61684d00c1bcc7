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
  let section = '';
  let chroot: string | undefined;
  for (const raw of text.split('\n')) {
    const words = raw.replace(/#.*/, '').trim().split(/\s+/);
    const [first = '', second] = words;
    if (SECTIONS.has(first)) section = first;
    else if (section === 'global' && first === 'chroot' && second !== undefined) {
      chroot = second.replace(/^"(.*)"$/, '$1').replace(/\/+$/, '');
    }
  }
  return chroot === '' ? undefined : chroot;
}

const SECTIONS: ReadonlySet<string> = new Set([
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
]);

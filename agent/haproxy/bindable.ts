import { readFile } from 'node:fs/promises';
import { createServer, isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ZddError } from '../protocol/errors.ts';

const MAX_LOOKS = 4;
const LOOK_MS = 50;

/** A `bind` line of a configuration. */
export interface Bind {
  readonly line: number;
  readonly text: string;
  /** `''` is every address. */
  readonly host: string;
  readonly port: number;
}

/**
 * Makes sure that a reload with this file can bind what it says. A worker that cannot makes HAProxy
 * pause all its listeners while it tries again: measured on 2.6.12, 958 of 2513 new connections
 * were refused in about 1.6 s, though the old worker then served on. `haproxy -c` does not see it.
 * Port ranges, names, variables and sockets other than TCP are left to HAProxy. A port that only root
 * may take cannot be tried; it is refused when somebody else listens there.
 * @param ownPorts TCP ports of the running HAProxy, whose listeners the new worker inherits; asked
 *   again when the port is not among them, since somebody may reload at this very moment
 * @throws ZDD_HAPROXY_CONFIG_INVALID naming the line
 */
export async function requireBindable(
  text: string,
  ownPorts: () => Promise<ReadonlySet<number>>,
): Promise<void> {
  for (const bind of bindsOf(text)) {
    const error = await obstacle(bind);
    if (error === undefined) continue;
    if (error === 'EADDRINUSE' && (await isOwn(bind.port, ownPorts))) continue;
    throw new ZddError(
      'ZDD_HAPROXY_CONFIG_INVALID',
      error === 'EADDRINUSE'
        ? `Another program listens where haproxy.cfg line ${bind.line} wants to.`
        : `This machine cannot listen where haproxy.cfg line ${bind.line} wants to.`,
      {
        evidence: [
          [`line ${bind.line}`, bind.text],
          ['error', error],
        ],
        traffic: 'unchanged: HAProxy was not reloaded',
        tries: [`ss -ltnp 'sport = :${bind.port}'`, 'ip address'],
      },
    );
  }
}

/** The `bind` lines with plain TCP addresses. */
export function bindsOf(text: string): readonly Bind[] {
  return text.split('\n').flatMap((raw, index) => {
    const words = /^\s*bind\s+(\S+)/.exec(raw);
    return (words?.[1] ?? '').split(',').flatMap((address) => {
      const parts = /^(?:(?:ipv[46]|tcp[46]?)@)?(.*):(\d+)$/.exec(address);
      if (parts?.[1] === undefined) return [];
      const host = parts[1].replace(/^\[(.*)\]$/, '$1').replace(/^\*$/, '');
      if (host !== '' && isIP(host) === 0) return [];
      return [{ line: index + 1, text: raw.trim(), host, port: Number(parts[2]) }];
    });
  });
}

/** Why nobody else could listen there now. */
async function obstacle(bind: Bind): Promise<string | undefined> {
  const error = await tryListen(bind);
  if (error !== 'EACCES') return error;
  return (await isTaken(bind)) ? 'EADDRINUSE' : undefined;
}

function tryListen({ host, port }: Bind): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host: host === '' ? '0.0.0.0' : host, port, exclusive: true }, () =>
      server.close(() => resolve(undefined)),
    );
  });
}

async function isOwn(port: number, ownPorts: () => Promise<ReadonlySet<number>>): Promise<boolean> {
  for (let looks = 0; looks < MAX_LOOKS; looks += 1) {
    if (looks > 0) await sleep(LOOK_MS);
    if ((await ownPorts()).has(port)) return true;
  }
  return false;
}

/** Whether a socket listens where this bind would, by the kernel's tables, which all may read. */
async function isTaken({ host, port }: Bind): Promise<boolean> {
  const wanted = kernelAddress(host);
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of (await readFile(table, 'utf8').catch(() => '')).split('\n')) {
      // proc(5): number, local address, remote address, state (0A: LISTEN), ...
      const [, local = '', , state] = line.trim().split(/\s+/);
      const [address = '', hex = ''] = local.split(':');
      if (state !== '0A' || Number.parseInt(hex, 16) !== port) continue;
      if (/^0+$/.test(address) || /^0*$/.test(wanted) || address === wanted) return true;
    }
  }
  return false;
}

/**
 * An address as `/proc/net/tcp` shows it: words of 32 bits in the byte order of the machine, which
 * is little-endian wherever this runs. `''` for every address.
 */
function kernelAddress(host: string): string {
  if (host === '' || host === '::') return '';
  const bytes = isIP(host) === 4 ? host.split('.').map(Number) : ipv6Bytes(host);
  const words: string[] = [];
  for (let at = 0; at < bytes.length; at += 4) {
    const word = bytes.slice(at, at + 4).reverse();
    words.push(word.map((byte) => byte.toString(16).padStart(2, '0')).join(''));
  }
  return words.join('').toUpperCase();
}

function ipv6Bytes(host: string): number[] {
  // The URL parser writes every form of an address, an embedded IPv4 too, in its one shortest way.
  const [head = '', tail] = new URL(`http://[${host}]`).hostname.slice(1, -1).split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const first = groups(head);
  const last = groups(tail ?? '');
  const gap = tail === undefined ? 0 : 8 - first.length - last.length;
  const all = [...first, ...new Array<number>(gap).fill(0), ...last];
  return all.flatMap((group) => [group >> 8, group & 0xff]);
}

import { readdir, readFile, readlink } from 'node:fs/promises';
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
 * Port ranges, names, variables and sockets other than TCP are left to HAProxy.
 * @param owners pids of the running HAProxy, whose listeners the new worker inherits; asked again
 *   when none of them has the port, since somebody may reload at this very moment
 * @throws ZDD_HAPROXY_CONFIG_INVALID naming the line
 */
export async function requireBindable(
  text: string,
  owners: () => Promise<readonly number[]>,
): Promise<void> {
  for (const bind of bindsOf(text)) {
    const error = await tryListen(bind);
    if (error === undefined || error === 'EACCES') continue;
    if (error === 'EADDRINUSE' && (await isOwn(bind.port, owners))) continue;
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

function tryListen({ host, port }: Bind): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host: host === '' ? '0.0.0.0' : host, port, exclusive: true }, () =>
      server.close(() => resolve(undefined)),
    );
  });
}

async function isOwn(port: number, owners: () => Promise<readonly number[]>): Promise<boolean> {
  for (let looks = 0; looks < MAX_LOOKS; looks += 1) {
    if (looks > 0) await sleep(LOOK_MS);
    if (await listens(port, await owners())) return true;
  }
  return false;
}

/** Whether one of these processes listens on the port; true when we may not look. */
async function listens(port: number, pids: readonly number[]): Promise<boolean> {
  const listening = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of (await readFile(table, 'utf8').catch(() => '')).split('\n')) {
      // proc(5): local address, remote address, state (0A: LISTEN), ..., inode.
      const fields = line.trim().split(/\s+/);
      const hex = /:([0-9A-F]{4})$/.exec(fields[1] ?? '')?.[1];
      if (fields[3] === '0A' && hex !== undefined && Number.parseInt(hex, 16) === port) {
        listening.add(`socket:[${fields[9]}]`);
      }
    }
  }
  for (const pid of pids) {
    const folder = `/proc/${pid}/fd`;
    const names = await readdir(folder).catch((error: NodeJS.ErrnoException) =>
      error.code === 'EACCES' ? undefined : [],
    );
    if (names === undefined) return true;
    for (const name of names) {
      const target = await readlink(`${folder}/${name}`).catch(() => '');
      if (listening.has(target)) return true;
    }
  }
  return false;
}

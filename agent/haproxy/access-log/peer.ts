import { readFile } from 'node:fs/promises';
import { globalUser } from '../config/read.ts';
import type { ProxyOptions } from '../options.ts';

/**
 * Who is at the other end of a loopback connection: its uid, by the kernel's table, which everybody
 * may read; null when the connection is not in it.
 */
export async function uidOfPeer(peerPort: number, ownPort: number): Promise<number | null> {
  const table = await readFile('/proc/net/tcp', 'utf8').catch(() => '');
  const loopback = (port: number): string =>
    `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const line of table.split('\n')) {
    // proc(5): number, local address, remote address, state, queues, timer, retransmits, uid, ...
    const [, local, remote, , , , , uid] = line.trim().split(/\s+/);
    if (local === loopback(peerPort) && remote === loopback(ownPort)) return Number(uid);
  }
  return null;
}

/**
 * The users a HAProxy of this host may run as: root, the agent's own (embedded), `haproxy`, and
 * whoever the file's `user` or `uid` names. Nobody else may tell the agent about requests.
 */
export async function haproxyUids({
  configPath,
}: Pick<ProxyOptions, 'configPath'>): Promise<ReadonlySet<number>> {
  const text = await readFile(configPath, 'utf8').catch(() => '');
  const named = globalUser(text);
  const uids = new Set([0, process.getuid?.() ?? 0]);
  for (const line of (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n')) {
    const [name, , uid] = line.split(':');
    if (name === 'haproxy' || (name !== undefined && name === named)) uids.add(Number(uid));
  }
  if (named !== undefined && /^\d+$/.test(named)) uids.add(Number(named));
  return uids;
}

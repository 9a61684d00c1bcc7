import { access, constants } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Finding } from '../../protocol/api.ts';
import type { Daemon } from '../daemon.ts';
import { error } from './finding.ts';

const CONNECT_MS = 1_000;

/** What keeps the agent from HAProxy's two sockets. */
export async function examineSockets({ settings }: Daemon): Promise<Finding[]> {
  const { adminSocket, masterSocket, mode } = settings.current.haproxy;
  const [admin, master] = await Promise.all([obstacle(adminSocket), obstacle(masterSocket)]);
  const findings: Finding[] = [];
  if (admin === 'EACCES') {
    findings.push(
      error(
        'haproxy_admin_socket',
        `the agent may not use HAProxy's admin socket ${adminSocket}`,
        giveToGroup(adminSocket),
        "grep -n 'stats socket' /etc/haproxy/haproxy.cfg        should say: mode 660 group haproxy level admin",
      ),
    );
  } else if (admin !== null) findings.push(down(mode, `${adminSocket} (${admin})`));
  if (master === 'EACCES') {
    findings.push(
      error(
        'haproxy_master_socket',
        `the agent may not use HAProxy's master socket ${masterSocket}; it knows the old workers`,
        giveToGroup(masterSocket),
        'systemctl cat haproxy        its -S option should end with: ,mode,660,group,haproxy',
      ),
    );
  } else if (master !== null && (admin === null || admin === 'EACCES')) {
    // A HAProxy that is down altogether is said once.
    findings.push(
      error(
        'haproxy_master_socket',
        `HAProxy runs without the master socket ${masterSocket} (${master}): it needs -W and -S`,
        mode === 'system'
          ? 'sudo systemctl restart haproxy        cuts open connections'
          : 'zdd-agent status',
        'systemctl cat haproxy',
      ),
    );
  }
  return findings;
}

function giveToGroup(path: string): string {
  return `sudo chgrp haproxy ${path} && sudo chmod 660 ${path}`;
}

function down(mode: 'embedded' | 'system', where: string): Finding {
  const what = `HAProxy does not listen on ${where}`;
  return mode === 'system'
    ? error('ZDD_HAPROXY_DOWN', what, 'sudo systemctl start haproxy', 'journalctl -u haproxy -n 50')
    : error('ZDD_HAPROXY_DOWN', `${what}; the agent starts it again`, 'zdd-agent status');
}

/** Why a socket cannot be connected to; null when it can. */
async function obstacle(path: string): Promise<string | null> {
  try {
    await access(path, constants.W_OK);
  } catch (cause) {
    return errnoOf(cause);
  }
  return await new Promise((resolve) => {
    const socket = connect(path);
    const end = (value: string | null): void => {
      socket.destroy();
      resolve(value);
    };
    socket.setTimeout(CONNECT_MS, () => end('ETIMEDOUT'));
    socket.once('connect', () => end(null));
    socket.once('error', (cause) => end(errnoOf(cause)));
  });
}

function errnoOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
}

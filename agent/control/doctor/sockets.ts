import { access, constants } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Finding } from '../../protocol/api.ts';
import type { Daemon } from '../daemon.ts';
import { error } from './finding.ts';

const CONNECT_MS = 1_000;
/** A reload reads all of haproxy.cfg before the master listens again; a busy host takes its time. */
const REEXEC_MS = 3_000;
const RETRY_MS = 20;

/** What keeps the agent from HAProxy's two sockets. */
export async function examineSockets(
  { settings }: Pick<Daemon, 'settings'>,
  signal: AbortSignal,
): Promise<Finding[]> {
  const { adminSocket, masterSocket, mode } = settings.current.haproxy;
  const admin = await obstacle(adminSocket);
  // Where not even a worker listens there is no reload to wait for.
  const master = await lastingObstacle(masterSocket, admin === null ? REEXEC_MS : 0, signal);
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

/** Why the master's socket cannot be connected to: one that executes itself anew refuses for a moment. */
async function lastingObstacle(
  path: string,
  withinMs: number,
  signal: AbortSignal,
): Promise<string | null> {
  const until = performance.now() + withinMs;
  for (;;) {
    const found = await obstacle(path);
    if (found === null || found === 'EACCES' || performance.now() >= until) return found;
    await sleep(RETRY_MS, undefined, { signal });
  }
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

import { access, constants } from 'node:fs/promises';
import { connect } from 'node:net';
import { generationsOf } from '../../core/model.ts';
import { globalSettings } from '../../haproxy/config/read.ts';
import { configOf, type Host } from '../../pipeline/host.ts';
import type { Finding } from '../../protocol/api.ts';
import { formatDuration } from '../../protocol/duration.ts';
import type { Daemon } from '../daemon.ts';
import { readConfigFile } from './config-file.ts';
import { ask, error, notice, ok, warning } from './finding.ts';

const CONNECT_MS = 1_000;
/** More than this many workers still busy with connections from before a reload is worth a word. */
const MANY_WORKERS = 5;
/** The agent holds several connections at once, and so does an admin who looks. */
const MIN_CONNECTIONS = 20;

/** Version, sockets and global settings of the HAProxy that runs. */
export async function examineHaproxy(daemon: Daemon, signal: AbortSignal): Promise<Finding[]> {
  const { mode } = daemon.settings.current.haproxy;
  const sockets = (await Promise.all([adminSocket(daemon), masterSocket(daemon)])).flat();
  const running = await answers(daemon.host, signal, sockets.length > 0);
  const text = await readConfigFile(daemon);
  return [
    ...sockets,
    ...running,
    ...(text === undefined ? [] : globals(daemon, text)),
    ...(mode === 'system' ? await privileges(signal) : []),
  ];
}

async function answers(host: Host, signal: AbortSignal, explained: boolean): Promise<Finding[]> {
  try {
    const { version, pid, oldWorkers } = await host.proxy.info(signal);
    const well = ok('haproxy', `HAProxy ${version} answers (pid ${pid}, master-worker)`);
    if (oldWorkers < MANY_WORKERS) return [well];
    return [
      well,
      notice(
        'haproxy_old_workers',
        `${oldWorkers} old HAProxy workers still serve connections from before a reload`,
        'zdd-agent status',
      ),
    ];
  } catch (cause) {
    if (explained) return [];
    return [
      error(
        'ZDD_HAPROXY_DOWN',
        cause instanceof Error ? cause.message : String(cause),
        'sudo systemctl restart haproxy',
        'journalctl -u haproxy -n 50',
      ),
    ];
  }
}

async function adminSocket({ settings }: Daemon): Promise<Finding[]> {
  const { adminSocket: path, mode } = settings.current.haproxy;
  const errno = await obstacle(path);
  if (errno === null) return [];
  if (errno === 'EACCES') {
    return [
      error(
        'haproxy_admin_socket',
        `the agent may not use HAProxy's admin socket ${path}`,
        `sudo chgrp haproxy ${path} && sudo chmod 660 ${path}`,
        "grep -n 'stats socket' /etc/haproxy/haproxy.cfg        should say: mode 660 group haproxy level admin",
      ),
    ];
  }
  return [down(mode, `${path} (${errno})`)];
}

async function masterSocket({ settings }: Daemon): Promise<Finding[]> {
  const { masterSocket: path, adminSocket, mode } = settings.current.haproxy;
  const errno = await obstacle(path);
  if (errno === null) return [];
  if (errno === 'EACCES') {
    return [
      error(
        'haproxy_master_socket',
        `the agent may not use HAProxy's master socket ${path}; it knows the old workers`,
        `sudo chgrp haproxy ${path} && sudo chmod 660 ${path}`,
        'systemctl cat haproxy        its -S option should end with: ,mode,660,group,haproxy',
      ),
    ];
  }
  // Down altogether is said once, by the admin socket.
  if ((await obstacle(adminSocket)) !== null) return [];
  return [
    error(
      'haproxy_master_socket',
      `HAProxy runs without the master socket ${path} (${errno}): it needs -W and -S`,
      mode === 'system' ? 'systemctl cat haproxy' : 'zdd-agent status',
      'sudo systemctl restart haproxy        cuts open connections',
    ),
  ];
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

function globals({ host, settings }: Daemon, { path, text }: { path: string; text: string }) {
  const { hardStopAfterMs, statsMaxconn } = globalSettings(text);
  const reload =
    settings.current.haproxy.mode === 'system' ? ' && sudo systemctl reload haproxy' : '';
  const findings: Finding[] = [];
  const longest = longestDrainMs(host);
  if (hardStopAfterMs !== null && hardStopAfterMs < longest) {
    findings.push(
      warning(
        'haproxy_hard_stop_after',
        `hard-stop-after ${formatDuration(hardStopAfterMs)} cuts connections that a drain of up to ${formatDuration(longest)} promises to keep`,
        `sudo sed -i --follow-symlinks 's/^\\( *\\)hard-stop-after.*/\\1hard-stop-after 24h/' ${path}${reload}`,
      ),
    );
  }
  if ((statsMaxconn ?? 10) < MIN_CONNECTIONS) {
    const have = statsMaxconn === null ? 'is not set: 10' : `is ${statsMaxconn}`;
    findings.push(
      notice(
        'haproxy_stats_maxconn',
        `stats maxconn ${have} connections to the admin socket; the next one hangs`,
        `sudo sed -i --follow-symlinks '0,/^global/s//global\\n  stats maxconn 100/' ${path}${reload}`,
      ),
    );
  }
  return findings;
}

/** The longest that any release may drain which runs now, ms. */
function longestDrainMs(host: Host): number {
  const drains = host.journal
    .apps()
    .map((app) => host.journal.state(app))
    .flatMap((state) =>
      generationsOf(state).map((generation) => {
        const { requests, websockets } = configOf(host, state.app, generation).drain;
        return Math.max(requests, websockets);
      }),
    );
  return Math.max(0, ...drains);
}

async function privileges(signal: AbortSignal): Promise<Finding[]> {
  const { code, out } = await ask(
    'systemctl',
    ['show', '--property=User', '--value', 'haproxy.service'],
    signal,
  );
  if (code !== 0) return [];
  if (out !== '' && out !== 'root') return [ok('haproxy_user', `HAProxy runs as ${out}, not root`)];
  return [
    notice(
      'haproxy_root',
      'HAProxy starts as root: whoever may write haproxy.cfg, the agent for one, is as good as root',
      'systemctl cat haproxy        docs/security.md says what that means',
    ),
  ];
}

import { generationsOf } from '../../core/model.ts';
import { capabilityWords } from '../../haproxy/capabilities.ts';
import { globalSettings } from '../../haproxy/config/read.ts';
import type { SwitchBy } from '../../haproxy/proxy.ts';
import { configOf, type Host } from '../../pipeline/host.ts';
import type { Finding } from '../../protocol/api.ts';
import { formatDuration } from '../../protocol/duration.ts';
import type { Daemon } from '../daemon.ts';
import { cuttingFrontends } from '../haproxy-findings.ts';
import { readConfigFile } from './config-file.ts';
import { ask, error, notice, ok, warning } from './finding.ts';
import { examineSockets } from './sockets.ts';
import { examineStartLimit } from './start-limit.ts';

/** More than this many workers still busy with connections from before a reload is worth a word. */
const MANY_WORKERS = 5;
/** The agent holds several connections at once, and so does an admin who looks. */
const MIN_CONNECTIONS = 20;

/** Version, sockets and global settings of the HAProxy that runs. */
export async function examineHaproxy(daemon: Daemon, signal: AbortSignal): Promise<Finding[]> {
  const { mode } = daemon.settings.current.haproxy;
  const sockets = await examineSockets(daemon, signal);
  const running = sockets.length > 0 ? [] : await answers(daemon, signal);
  const text = await readConfigFile(daemon);
  return [
    ...sockets,
    ...running,
    ...(text === undefined ? [] : globals(daemon, text)),
    ...(mode === 'system'
      ? [...(await privileges(signal)), ...(await examineStartLimit(signal))]
      : []),
  ];
}

async function answers({ host, settings }: Daemon, signal: AbortSignal): Promise<Finding[]> {
  try {
    const { version, pid, oldWorkers, switchBy } = await host.proxy.info(signal);
    const well = [
      ok('haproxy', `HAProxy ${version} answers (pid ${pid}, master-worker)`),
      ...abilities(version),
      ...switching(settings.current.haproxy.switchBy, switchBy),
    ];
    if (oldWorkers < MANY_WORKERS) return well;
    return [
      ...well,
      notice(
        'haproxy_old_workers',
        `${oldWorkers} old HAProxy workers still serve connections from before a reload`,
        'zdd-agent status',
      ),
    ];
  } catch (cause) {
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

/** Releases that move by reloads, because nothing else is allowed. */
function switching(wish: SwitchBy | 'auto', by: SwitchBy): Finding[] {
  if (wish !== 'auto' || by === 'runtime') return [];
  return [
    notice(
      'haproxy_switch',
      "HAProxy's admin socket lets the agent only look, so each release reloads HAProxy twice; with level admin it needs no reload",
      "grep -n 'stats socket' /etc/haproxy/haproxy.cfg        should say: mode 660 group haproxy level admin; then reload HAProxy",
    ),
  ];
}

/** What it has beyond the oldest that the agent speaks to. */
function abilities(version: string): Finding[] {
  const words = capabilityWords(version);
  return [
    ok(
      'haproxy_can',
      words.length === 0
        ? 'it can what the agent needs, and nothing beyond HAProxy 2.6'
        : `beyond HAProxy 2.6: ${words.join('; ')}`,
    ),
  ];
}

function globals({ host, settings }: Daemon, { path, text }: { path: string; text: string }) {
  const { hardStopAfterMs, statsMaxconn } = globalSettings(text);
  const reload =
    settings.current.haproxy.mode === 'system' ? ' && sudo systemctl reload haproxy' : '';
  const findings: Finding[] = [];
  const longest = longestDrainMs(host);
  if (hardStopAfterMs === null) {
    findings.push(
      notice(
        'haproxy_hard_stop_after_unset',
        'hard-stop-after is not set: an old worker whose clients never leave stays for ever',
        `sudo sed -i --follow-symlinks '0,/^global/s//global\\n  hard-stop-after 24h/' ${path}${reload}`,
      ),
    );
  }
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
  return [...findings, ...cuttingFrontends(text, path, reload)];
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

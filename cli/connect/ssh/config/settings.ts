import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseDuration } from '../../../../agent/protocol/duration.ts';
import { userName } from '../../../owner.ts';
import type { Destination } from '../destination.ts';
import { evaluate, type Settings } from './evaluate.ts';
import { expandPath, expandTokens, type Tokens } from './expand.ts';
import { readConfigFile } from './lines.ts';

/** How one host is reached and by which keys: what was typed, then ssh_config, then defaults. */
export interface HostSettings {
  /** As typed. */
  readonly typed: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Private keys, in the order to try them. */
  readonly identityFiles: readonly string[];
  /** Whether somebody named them: a missing default key is nothing to mention. */
  readonly identityFilesNamed: boolean;
  readonly identitiesOnly: boolean;
  /** Socket of the ssh-agent. */
  readonly identityAgent: string | null;
  /** Hosts to go through, nearest first. */
  readonly proxyJump: readonly string[];
  readonly proxyCommand: string | null;
  /** The name under which known_hosts has the key, when it is not the host's own. */
  readonly hostKeyAlias: string | undefined;
  /** New keys are appended to the first. */
  readonly userKnownHosts: readonly string[];
  readonly globalKnownHosts: readonly string[];
  readonly unknownKeys: 'refuse' | 'accept';
  readonly hashKnownHosts: boolean;
  readonly connectTimeoutMs: number;
  readonly keepaliveMs: number;
  /** Unanswered keepalives after which the connection is given up. */
  readonly keepaliveCount: number;
}

const CONNECT_MS = 10_000;
const KEEPALIVE_MS = 10_000;
const KEEPALIVE_COUNT = 3;
const SYSTEM_CONFIG = '/etc/ssh/ssh_config';
/** As ssh tries them, without the kinds that only ssh itself can use. */
const DEFAULT_KEYS = ['id_rsa', 'id_ecdsa', 'id_ed25519'];

/**
 * Reads `~/.ssh/config` and the system's file for one destination.
 * @throws ZDD_CONFIG_INVALID when a file cannot be read
 */
export async function readSettings(destination: Destination): Promise<HostSettings> {
  const home = homedir();
  const localUser = userName();
  const [own, system] = await Promise.all([
    readConfigFile(join(home, '.ssh', 'config'), home),
    readConfigFile(SYSTEM_CONFIG, home),
  ]);
  const asked = { original: destination.host, user: destination.user, localUser };
  return settle(destination, evaluate([...own, ...system], asked), { home, localUser });
}

/** Gives the settings their types and defaults. What ssh would refuse is left out, not guessed. */
export function settle(
  destination: Destination,
  settings: Settings,
  { home, localUser }: { readonly home: string; readonly localUser: string },
): HostSettings {
  const one = (keyword: string): string | undefined => {
    const value = settings.get(keyword)?.join(' ');
    return value === '' ? undefined : value;
  };
  const yes = (keyword: string) => /^(yes|true)$/i.test(one(keyword) ?? '');
  const port = destination.port ?? readPort(one('port')) ?? 22;
  const user = destination.user ?? one('user') ?? localUser;
  const hostKeyAlias = one('hostkeyalias');
  const before: Tokens = {
    home,
    localUser,
    original: destination.host,
    host: destination.host,
    user,
    port,
    hostKeyAlias,
  };
  const host = expandTokens(one('hostname') ?? destination.host, before);
  const tokens = { ...before, host };
  const paths = (keyword: string, usual: readonly string[]) =>
    (settings.get(keyword) ?? usual)
      .flatMap((value) => (keyword === 'identityfile' ? [value] : value.split(/\s+/)))
      .filter((path) => path.toLowerCase() !== 'none')
      .map((path) => expandPath(path, tokens));
  const named = settings.has('identityfile');
  const none = (value: string | undefined) => value === undefined || /^none$/i.test(value);
  const jump = one('proxyjump');
  const command = one('proxycommand');
  return {
    typed: destination.typed,
    host,
    port,
    user,
    identityFiles: paths(
      'identityfile',
      DEFAULT_KEYS.map((name) => `~/.ssh/${name}`),
    ),
    identityFilesNamed: named,
    identitiesOnly: yes('identitiesonly'),
    identityAgent: agentOf(one('identityagent'), tokens),
    proxyJump: none(jump) ? [] : (jump ?? '').split(',').map((hop) => expandTokens(hop, tokens)),
    proxyCommand: none(command) ? null : expandTokens(command ?? '', tokens),
    hostKeyAlias,
    userKnownHosts: paths('userknownhostsfile', ['~/.ssh/known_hosts', '~/.ssh/known_hosts2']),
    globalKnownHosts: paths('globalknownhostsfile', [
      '/etc/ssh/ssh_known_hosts',
      '/etc/ssh/ssh_known_hosts2',
    ]),
    // `no` would also take a changed key: never here.
    unknownKeys: /^(accept-new|no|off)$/i.test(one('stricthostkeychecking') ?? '')
      ? 'accept'
      : 'refuse',
    hashKnownHosts: yes('hashknownhosts'),
    connectTimeoutMs: readSeconds(one('connecttimeout')) || CONNECT_MS,
    keepaliveMs: readSeconds(one('serveraliveinterval')) || KEEPALIVE_MS,
    keepaliveCount: readCount(one('serveralivecountmax')) ?? KEEPALIVE_COUNT,
  };
}

function agentOf(value: string | undefined, tokens: Tokens): string | null {
  const usual = process.env['SSH_AUTH_SOCK'] || null;
  if (value === undefined || value === 'SSH_AUTH_SOCK') return usual;
  if (/^none$/i.test(value)) return null;
  if (/^\$[A-Za-z_]/.test(value)) return process.env[value.slice(1)] || null;
  return expandPath(value, tokens);
}

function readPort(value: string | undefined): number | undefined {
  const port = readCount(value);
  return port !== undefined && port >= 1 && port <= 65_535 ? port : undefined;
}

function readCount(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : undefined;
}

/** Seconds, or `1m30s`; in ms. */
function readSeconds(value: string | undefined): number | undefined {
  const seconds = readCount(value);
  return seconds === undefined ? (value && parseDuration(value)) || undefined : seconds * 1_000;
}

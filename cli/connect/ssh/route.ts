import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { Duplex } from 'node:stream';
import { LastingError } from '../lasting.ts';
import { type HostSettings, readSettings } from './config/settings.ts';
import { parseDestination } from './destination.ts';
import { type KnownHost, lookUp } from './host-keys/judge.ts';
import type { Identities } from './keys/identity.ts';
import { askOnTerminal } from './keys/passphrase.ts';
import { handshakeFailed, notConnected, tooSlow } from './refusals.ts';
import { quoted } from './same-command.ts';
import type { logIn, Session } from './session.ts';
import { stage } from './stage.ts';

/** A host on the way, the last of them the one that is meant. */
export interface Hop {
  readonly settings: HostSettings;
  /** Found once: a reconnect asks nobody for a passphrase again. */
  identities(signal: AbortSignal): Promise<Identities>;
}

/** More hops than anybody has are a circle of ProxyJump. */
const MOST_HOPS = 8;

/** The hosts to go through, with `ProxyJump` of each hop's own settings followed. */
export async function findRoute(typed: string): Promise<Hop[]> {
  const route: Hop[] = [];
  await add(typed, true);
  return route;

  async function add(each: string, byItsOwnWay: boolean, depth = 0): Promise<void> {
    if (route.length >= MOST_HOPS || depth > MOST_HOPS) throw circle(typed);
    const settings = await readSettings(parseDestination(each));
    // As ssh does: of several jumps only the first is reached as its own settings say.
    if (byItsOwnWay) {
      for (const [index, jump] of settings.proxyJump.entries())
        await add(jump, index === 0, depth + 1);
    }
    route.push(hopOf(settings));
  }
}

function circle(typed: string): LastingError {
  return new LastingError('ZDD_AGENT_UNREACHABLE', 'ProxyJump leads in a circle', {
    evidence: [['host', typed]],
    tries: [`ssh -G ${quoted(typed)}`],
  });
}

function hopOf(settings: HostSettings): Hop {
  let found: Promise<Identities> | undefined;
  return {
    settings,
    identities(signal) {
      found ??= import('./keys/identities.ts').then(({ findIdentities }) =>
        findIdentities(settings, askOnTerminal, signal),
      );
      // An interrupted search is not the answer to the next one.
      found.catch(() => {
        found = undefined;
      });
      return found;
    },
  };
}

export interface DialOptions {
  readonly acceptNew: boolean;
  readonly signal: AbortSignal;
  /** Told when the host of a hop looks at our key, which takes it a while. */
  onIdle?(): void;
  onNewKey?(line: string): void;
}

/** Connects hop by hop. Closing the last session closes those it goes through. */
export async function dial(route: readonly Hop[], options: DialOptions): Promise<Session> {
  let through: Session | null = null;
  for (const { settings, identities } of route) {
    const before: Session | null = through;
    try {
      const { stream, known, logIn } = await approach(settings, before, options.signal);
      through = await logIn(stream, {
        settings,
        known,
        acceptNew: options.acceptNew,
        identities: () => identities(options.signal),
        signal: options.signal,
        ...(options.onIdle ? { onIdle: options.onIdle } : {}),
        ...(options.onNewKey ? { onNewKey: options.onNewKey } : {}),
      });
    } catch (cause) {
      before?.client.destroy();
      throw cause;
    }
    if (before) through.ended.addEventListener('abort', () => before.close(), { once: true });
  }
  if (through === null) throw new Error('a route has at least one hop');
  return through;
}

interface Approach {
  readonly stream: Duplex;
  readonly known: KnownHost;
  readonly logIn: typeof logIn;
}

/** Everything that a login needs; nothing has been said yet. */
async function approach(
  settings: HostSettings,
  through: Session | null,
  signal: AbortSignal,
): Promise<Approach> {
  // At the same time: SSH takes as long to load as sshd to greet.
  const [stream, known, session] = await Promise.all([
    // Until SSH listens to it, what ends it is looked for below.
    openStream(settings, through, signal).then((stream) => stream.on('error', () => {})),
    lookUp(settings),
    nextTurn().then(() => import('./session.ts')),
  ]);
  if (stream.destroyed) {
    throw handshakeFailed(settings, new Error('the host hung up'));
  }
  return { stream, known, logIn: session.logIn };
}

/** Lets a connection begin that has been asked for. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function openStream(
  settings: HostSettings,
  through: Session | null,
  signal: AbortSignal,
): Promise<Duplex> {
  if (through !== null) return overSession(settings, through, signal);
  if (settings.proxyCommand !== null) return overCommand(settings.proxyCommand);
  // One packet waiting for another is what a handshake cannot afford: noDelay saves 0.2 s.
  const socket = connect({ host: settings.host, port: settings.port, noDelay: true });
  const connected = new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve).once('error', (cause) => reject(notConnected(settings, cause)));
  });
  const ms = settings.connectTimeoutMs;
  try {
    await stage(connected, ms, signal, () => tooSlow(settings, 'connect', ms));
  } catch (cause) {
    socket.destroy();
    throw cause;
  }
  return socket;
}

async function overSession(
  settings: HostSettings,
  through: Session,
  signal: AbortSignal,
): Promise<Duplex> {
  const opened = new Promise<Duplex>((resolve, reject) => {
    through.client.forwardOut('127.0.0.1', 0, settings.host, settings.port, (error, channel) => {
      if (error) {
        const why = new Error(`${through.settings.host} does not connect to it: ${error.message}`);
        reject(notConnected(settings, why));
      } else resolve(channel);
    });
  });
  const ms = settings.connectTimeoutMs;
  return stage(opened, ms, signal, () => tooSlow(settings, 'connect through a jump host', ms));
}

/** `ProxyCommand`: its stdin and stdout are the connection. It ends when we do. */
function overCommand(command: string): Duplex {
  const child = spawn('sh', ['-c', `exec ${command}`], { stdio: ['pipe', 'pipe', 'inherit'] });
  const stream = Duplex.from({ writable: child.stdin, readable: child.stdout });
  // Its stdout ends when it could not be run: the handshake will say that the host hung up.
  child.once('error', () => {});
  stream.once('close', () => child.kill());
  return stream;
}

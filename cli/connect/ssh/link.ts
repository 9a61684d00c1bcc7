import type { ClientChannel } from 'ssh2';
import { ZddError } from '../../../agent/protocol/errors.ts';
import { LastingError } from '../lasting.ts';
import { forwardRefused, lookScript } from './forward-refusal.ts';
import { connectionLost } from './refusals.ts';
import { dial, findRoute, type Hop } from './route.ts';
import type { Session } from './session.ts';

/** sshd opens a channel at once or not at all, ms. */
const LOOK_MS = 5_000;

/** One SSH connection for everything that is asked of one host; opened when it is first needed. */
export interface Link {
  /**
   * Connects unless it stands already.
   * @param idle called once our key is shown: the host then thinks for longer than at any other time
   * @throws ZDD_AGENT_UNREACHABLE
   */
  ready(signal: AbortSignal, idle: () => void): Promise<void>;
  /** A new channel to the socket on the far side. @throws ZDD_AGENT_UNREACHABLE */
  channel(): Promise<ClientChannel>;
  /** Why the connection of a moment ago is gone; null while it stands. */
  lost(): ZddError | null;
  close(): void;
}

export interface LinkOptions {
  /** As typed. */
  readonly destination: string;
  /** Path on the far side. */
  readonly socket: string;
  readonly acceptNew: boolean;
  onNewKey?(line: string): void;
}

/** Nothing is connected yet. */
export function openLink(options: LinkOptions): Link {
  let route: Promise<Hop[]> | undefined;
  let session: Session | null = null;
  let dialling: Promise<Session> | null = null;
  const waiting = new Set<() => void>();

  async function stand(signal: AbortSignal): Promise<Session> {
    if (session !== null && session.lost() === null) return session;
    dialling ??= connect(signal).finally(() => {
      dialling = null;
    });
    return dialling;
  }

  async function connect(signal: AbortSignal): Promise<Session> {
    route ??= findRoute(options.destination);
    session = await dial(await route, {
      acceptNew: options.acceptNew,
      signal,
      onIdle: () => waiting.forEach((idle) => void idle()),
      ...(options.onNewKey ? { onNewKey: options.onNewKey } : {}),
    });
    return session;
  }

  return {
    async ready(signal, idle) {
      waiting.add(idle);
      try {
        await stand(signal);
      } finally {
        waiting.delete(idle);
      }
    },
    async channel() {
      const present = await stand(AbortSignal.timeout(LOOK_MS * 12));
      const refused = await attempt(present, options.socket);
      // The agent may have come between the refusal and the look at what is wrong: what would be
      // wrong for good is only said when it is so a second time.
      const opened =
        refused instanceof LastingError ? await attempt(present, options.socket) : refused;
      if (opened instanceof ZddError) throw opened;
      return opened;
    },
    lost: () => session?.lost() ?? null,
    close() {
      session?.close();
      session = null;
    },
  };
}

/** A channel, or why there is none. */
async function attempt(session: Session, socket: string): Promise<ClientChannel | ZddError> {
  try {
    return await openChannel(session, socket);
  } catch (cause) {
    return session.lost() ?? (await explain(session, socket, cause));
  }
}

function openChannel({ client }: Session, socket: string): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    client.openssh_forwardOutStreamLocal(socket, (error, channel) => {
      if (error) reject(error);
      else resolve(channel);
    });
  });
}

/** Asks the far side why it does not forward, as far as our account may ask. */
async function explain(session: Session, socket: string, cause: unknown): Promise<ZddError> {
  if (!(cause instanceof Error) || !('reason' in cause)) {
    return connectionLost(session.settings, cause);
  }
  return forwardRefused(session.settings, socket, await look(session, lookScript(socket)));
}

/** Runs a script by the account's shell. @returns what it printed; null when it did not end well */
function look({ client }: Session, script: string): Promise<string | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), LOOK_MS);
    const finish = (text: string | null) => {
      clearTimeout(timer);
      resolve(text);
    };
    client.exec('sh -s', (error, channel) => {
      if (error) return finish(null);
      let text = '';
      channel.on('data', (chunk: Buffer) => {
        text += chunk.toString('utf8');
      });
      channel.stderr.resume();
      channel.on('close', (code: unknown) => finish(code === 0 ? text : null));
      channel.end(script);
    });
  });
}

import type { Duplex } from 'node:stream';
import ssh2, { type AgentAuthMethod, type Client, type NoAuthMethod, type ParsedKey } from 'ssh2';
import type { ZddError } from '../../../agent/protocol/errors.ts';
import type { HostSettings } from './config/settings.ts';
import { judge, type KnownHost, preferredAlgorithms } from './host-keys/judge.ts';
import { knownLine, typeOf } from './host-keys/known-hosts.ts';
import { rememberLine } from './host-keys/remember.ts';
import type { Identity, PassedOver } from './keys/identity.ts';
import {
  connectionLost,
  handshakeFailed,
  keyRefused,
  loginRefused,
  moreThanKey,
  tooManyKeys,
  tooSlow,
} from './refusals.ts';
import { stage } from './stage.ts';

/** Key exchange, ms. A small VPS under load takes seconds. */
const HANDSHAKE_MS = 20_000;
/** One answer to one key, ms: PAM on the far side may ask a directory first. */
const LOGIN_MS = 30_000;

const CLOSE_MS = 500;

/** A connection that is logged in. */
export interface Session {
  readonly client: Client;
  readonly settings: HostSettings;
  /** Why it ended; null while it stands. */
  lost(): ZddError | null;
  /** Aborted when it ends. */
  readonly ended: AbortSignal;
  close(): void;
}

export interface LoginOptions {
  readonly settings: HostSettings;
  readonly known: KnownHost;
  /** As `StrictHostKeyChecking=accept-new`. */
  readonly acceptNew: boolean;
  /** Asked for once the host has proved who it is: no passphrase is wanted for a wrong host. */
  identities(): Promise<{
    readonly usable: readonly Identity[];
    readonly passedOver: readonly PassedOver[];
  }>;
  readonly signal: AbortSignal;
  /** Told when the host begins to look at what our key has signed. */
  onIdle?(): void;
  /** Told when a key that was not known is kept from now on. */
  onNewKey?(line: string): void;
}

/**
 * The SSH handshake over a connected stream: the key of the host is checked, then our keys are
 * offered one by one.
 * @throws ZDD_AGENT_UNREACHABLE, as a `LastingError` where trying again cannot help
 */
export async function logIn(stream: Duplex, options: LoginOptions): Promise<Session> {
  const { settings, known, signal } = options;
  const client = new ssh2.Client();
  const ended = new AbortController();
  const login = attemptLogin(client, options);
  const hostKey = checkHostKey(options);
  let lost: ZddError | null = null;
  let loggedIn = false;

  const shaken = new Promise<void>((resolve, reject) => {
    client.once('handshake', () => resolve());
    client.on('error', (cause) => reject(hostKey.refusal() ?? handshakeFailed(settings, cause)));
    client.once('close', () =>
      reject(hostKey.refusal() ?? handshakeFailed(settings, new Error('the host hung up'))),
    );
  });
  const ready = new Promise<void>((resolve, reject) => {
    client.once('ready', () => resolve());
    client.on('error', (cause: Error & { level?: string }) => {
      // A key that could not sign: the next one may.
      if (cause.level !== 'agent') reject(login.refusal(cause));
    });
    client.once('close', () => reject(login.refusal(new Error('the host hung up'))));
  });
  // Whichever is not waited for any more must not be an unhandled rejection.
  shaken.catch(() => {});
  ready.catch(() => {});
  client.on('error', (cause: Error & { level?: string }) => {
    if (loggedIn && cause.level !== 'agent') lost ??= connectionLost(settings, cause);
  });
  client.once('close', () => {
    lost ??= connectionLost(settings, undefined);
    ended.abort();
  });

  client.connect({
    sock: stream,
    username: settings.user,
    // Stages have deadlines of their own: one for all would also count the typing of a passphrase.
    readyTimeout: 0,
    keepaliveInterval: settings.keepaliveMs,
    keepaliveCountMax: settings.keepaliveCount,
    algorithms: { serverHostKey: preferredAlgorithms(known) },
    hostVerifier: hostKey.verify,
    authHandler: login.next,
  });
  try {
    await stage(shaken, HANDSHAKE_MS, signal, () => tooSlow(settings, 'handshake', HANDSHAKE_MS));
    await hostKey.remember();
    await login.patiently(ready, signal);
  } catch (cause) {
    client.destroy();
    throw cause;
  }
  loggedIn = true;
  return {
    client,
    settings,
    lost: () => lost,
    ended: ended.signal,
    close() {
      client.end();
      // A far side that does not answer any more must not keep this process.
      setTimeout(() => client.destroy(), CLOSE_MS).unref();
    },
  };
}

/** Judges the key that the host shows; a new one is kept only once the host has proved to own it. */
function checkHostKey({ settings, known, acceptNew, onNewKey }: LoginOptions) {
  let refusal: ZddError | null = null;
  let fresh: { type: string; blob: Buffer } | null = null;
  return {
    verify(blob: Buffer): boolean {
      const type = typeOf(blob);
      const verdict = judge(known, type, blob);
      if (verdict.kind === 'known') return true;
      const accepts = acceptNew || settings.unknownKeys === 'accept';
      if (verdict.kind === 'unknown' && verdict.authorities.length === 0 && accepts) {
        fresh = { type, blob: Buffer.from(blob) };
        return true;
      }
      refusal = keyRefused(settings, known.name, { type, blob }, verdict);
      return false;
    },
    refusal: () => refusal,
    async remember(): Promise<void> {
      const [file] = settings.userKnownHosts;
      if (fresh === null || file === undefined) return;
      await rememberLine(
        file,
        knownLine(known.name, fresh.type, fresh.blob, settings.hashKnownHosts),
      );
      onNewKey?.(`${fresh.type} of ${known.name} is kept in ${file}`);
    },
  };
}

/** Offers one key after the other, and remembers for the error which. */
function attemptLogin(client: Client, { settings, identities, onIdle }: LoginOptions) {
  const tried: Identity[] = [];
  let passedOver: readonly PassedOver[] = [];
  let left: Identity[] | null = null;
  let methods: readonly string[] | null = null;
  let fatal: unknown = null;
  /** Running while the host thinks, stopped while somebody types. */
  let clock = (_: boolean) => {};

  async function offerNext(
    offered: readonly string[] | null,
  ): Promise<AgentAuthMethod | NoAuthMethod | null> {
    if (offered !== null) methods = offered;
    if (left === null) {
      clock(false);
      const found = await identities();
      clock(true);
      passedOver = found.passedOver;
      left = [...found.usable];
    }
    const identity = left.shift();
    if (identity === undefined) {
      // ssh2 keeps to itself what a host says when it refuses a key: asked once more, it says how
      // it could be done, and that a key was right but not enough.
      if (methods === null) return { type: 'none', username: settings.user };
      if (tried.length > 0 && !methods.includes('publickey')) {
        fatal = moreThanKey(settings, methods);
      }
      return null;
    }
    tried.push(identity);
    return { type: 'agent', username: settings.user, agent: new OneKey(identity, signing) };
  }

  async function signing(sign: () => Promise<Buffer>, identity: Identity): Promise<Buffer> {
    clock(false);
    try {
      const signature = await sign();
      // By then it has been sent.
      setImmediate(() => onIdle?.());
      return signature;
    } catch (cause) {
      tried.splice(tried.indexOf(identity), 1);
      const why = cause instanceof Error ? cause.message : String(cause);
      passedOver = [...passedOver, { label: identity.label, why }];
      if (!(cause instanceof Error) || cause.name === 'Interrupted') {
        fatal = cause;
        client.destroy();
      }
      throw cause;
    } finally {
      clock(true);
    }
  }

  return {
    next(
      offered: readonly string[] | null,
      _partial: boolean | null,
      proceed: (method: AgentAuthMethod | NoAuthMethod) => void,
    ): void {
      offerNext(offered).then(
        (method) => {
          if (method !== null) return proceed(method);
          fatal ??= loginRefused(settings, { tried, passedOver, methods });
          client.destroy();
        },
        (cause: unknown) => {
          fatal = cause;
          client.destroy();
        },
      );
    },
    refusal(cause: Error): unknown {
      if (fatal !== null) return fatal;
      const attempt = { tried, passedOver, methods };
      if (/too many authentication failures/i.test(cause.message)) {
        return tooManyKeys(settings, attempt);
      }
      return connectionLost(settings, cause);
    },
    /** Waits for the login; the time that somebody takes to type does not count. */
    async patiently(ready: Promise<void>, signal: AbortSignal): Promise<void> {
      let timer: NodeJS.Timeout | undefined;
      let stop = () => {};
      const end = new Promise<never>((_, reject) => {
        clock = (running) => {
          clearTimeout(timer);
          if (running) {
            timer = setTimeout(() => reject(tooSlow(settings, 'log in', LOGIN_MS)), LOGIN_MS);
          }
        };
        stop = () => reject(signal.reason);
        if (signal.aborted) stop();
        else signal.addEventListener('abort', stop, { once: true });
      });
      clock(true);
      try {
        await Promise.race([ready, end]);
      } finally {
        clearTimeout(timer);
        clock = () => {};
        signal.removeEventListener('abort', stop);
      }
    },
  };
}

/** One key, offered by ssh2 as those of an agent: it is asked to sign only if the host wants it. */
class OneKey extends ssh2.BaseAgent<ParsedKey> {
  readonly #identity: Identity;
  readonly #signing: (sign: () => Promise<Buffer>, identity: Identity) => Promise<Buffer>;

  constructor(
    identity: Identity,
    signing: (sign: () => Promise<Buffer>, identity: Identity) => Promise<Buffer>,
  ) {
    super();
    this.#identity = identity;
    this.#signing = signing;
  }

  override getIdentities(done: (error: Error | null, keys?: ParsedKey[]) => void): void {
    done(null, [this.#identity.publicKey]);
  }

  override sign(...args: unknown[]): void {
    const [, data, options] = args;
    const done = args.at(-1);
    if (!Buffer.isBuffer(data) || typeof done !== 'function') return;
    // ssh2 goes on using its buffer while somebody types a passphrase.
    const bytes = Buffer.from(data);
    const hash = hashOf(options);
    this.#signing(() => this.#identity.sign(bytes, hash), this.#identity).then(
      (signature) => done(null, signature),
      (cause: unknown) => done(cause instanceof Error ? cause : new Error(String(cause))),
    );
  }
}

/** The digest that was agreed for RSA: SHA-1 is no longer taken by any host in support. */
function hashOf(options: unknown): string | undefined {
  if (typeof options !== 'object' || options === null || !('hash' in options)) return undefined;
  return typeof options.hash === 'string' ? options.hash : undefined;
}

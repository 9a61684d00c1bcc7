import ssh2, { type AgentAuthMethod, type Client, type NoAuthMethod, type ParsedKey } from 'ssh2';
import type { HostSettings } from '../config/settings.ts';
import { connectionLost, loginRefused, moreThanKey, tooManyKeys, tooSlow } from '../refusals.ts';
import type { Identity, PassedOver } from './identity.ts';

/** One answer to one key, ms: PAM on the far side may ask a directory first. */
const LOGIN_MS = 30_000;

export interface OfferOptions {
  readonly settings: HostSettings;
  /** Asked for once the host has proved who it is: no passphrase is wanted for a wrong host. */
  identities(): Promise<{
    readonly usable: readonly Identity[];
    readonly passedOver: readonly PassedOver[];
  }>;
  /** Told when the host begins to look at what our key has signed. */
  onIdle?(): void;
}

/** Offers one key after the other, and remembers for the error which. */
export function offerKeys(client: Client, { settings, identities, onIdle }: OfferOptions) {
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

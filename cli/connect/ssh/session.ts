import type { Duplex } from 'node:stream';
import ssh2, { type Client } from 'ssh2';
import type { ZddError } from '../../../agent/protocol/errors.ts';
import type { HostSettings } from './config/settings.ts';
import { judge, type KnownHost, preferredAlgorithms } from './host-keys/judge.ts';
import { knownLine, typeOf } from './host-keys/known-hosts.ts';
import { rememberLine } from './host-keys/remember.ts';
import { type OfferOptions, offerKeys } from './keys/offer.ts';
import { connectionLost, handshakeFailed, keyRefused, tooSlow } from './refusals.ts';
import { stage } from './stage.ts';

/** Key exchange, ms. A small VPS under load takes seconds. */
const HANDSHAKE_MS = 20_000;
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

export interface LoginOptions extends OfferOptions {
  readonly known: KnownHost;
  /** As `StrictHostKeyChecking=accept-new`. */
  readonly acceptNew: boolean;
  readonly signal: AbortSignal;
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
  const offer = offerKeys(client, options);
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
      if (cause.level !== 'agent') reject(offer.refusal(cause));
    });
    client.once('close', () => reject(offer.refusal(new Error('the host hung up'))));
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
    authHandler: offer.next,
  });
  try {
    await stage(shaken, HANDSHAKE_MS, signal, () => tooSlow(settings, 'handshake', HANDSHAKE_MS));
    await hostKey.remember();
    await offer.patiently(ready, signal);
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

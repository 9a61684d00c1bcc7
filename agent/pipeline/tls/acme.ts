import { createHash } from 'node:crypto';
import { nextTry } from '../../core/renewal.ts';
import { toErrorBody, ZddError } from '../../protocol/errors.ts';
import type { Host } from '../host.ts';
import { pause } from '../pause.ts';
import { addCertificate, oneAtATime } from './certificates.ts';
import { isBrought, issuedFor, wantedHosts } from './wanted.ts';

/** How often is looked whether a certificate is due, ms. */
const LOOK_EVERY_MS = 2_000;
/** How long an ACME server has for one certificate, ms. */
const ISSUE_MS = 180_000;
/** How long it has for its first answer, ms. */
const REACH_MS = 20_000;
/** How long HAProxy has to know an answer, ms. */
const ANSWER_MS = 30_000;

/**
 * Has certificates issued and renewed for the hosts of apps that ask for it, one after the other.
 * What fails is tried again after growing pauses, also over restarts; `status` says why.
 */
export async function keepIssued(host: Host, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await pause(LOOK_EVERY_MS, signal);
    try {
      for (const name of dueHosts(host)) await issueOrNote(host, name, signal);
    } catch (error) {
      signal.throwIfAborted();
      host.log.error({ err: error }, 'certificates cannot be looked after');
    }
  }
}

/**
 * Tries at once again what waits for its next try.
 * @throws ZDD_CERT_UNKNOWN for a host that no app has a certificate issued for
 */
export function tryAgain(host: Host, name: string): void {
  if (!wantedHosts(host).has(name)) {
    throw new ZddError('ZDD_CERT_UNKNOWN', `no app has a certificate issued for ${name}`, {
      traffic: 'untouched',
      tries: ['zdd-agent cert ls', 'tls: { acme: true } in zdd.yaml asks for one'],
    });
  }
  host.tls.acme.store.forgetFailure(name);
}

function dueHosts(host: Host): readonly string[] {
  const failures = new Map(host.tls.acme.store.failures().map((each) => [each.name, each]));
  const now = host.now();
  return [...wantedHosts(host).keys()].filter((name) => {
    if (isBrought(host, name)) return false;
    const life = issuedFor(host, name) ?? null;
    return nextTry({ life, failed: failures.get(name) ?? null }, jitterOf(name)) <= now;
  });
}

/** The same for a name on every start, and another one for the next name. */
function jitterOf(name: string): number {
  return createHash('sha256').update(name).digest().readUInt32BE(0) / 2 ** 32;
}

async function issueOrNote(host: Host, name: string, signal: AbortSignal): Promise<void> {
  const { store } = host.tls.acme;
  const { directory } = host.tls.acme.settings();
  try {
    await issue(host, name, signal);
    store.forgetFailure(name);
  } catch (cause) {
    signal.throwIfAborted();
    const error = toErrorBody(cause instanceof ZddError ? cause : failed(name, directory, cause));
    const count = (store.failures().find((each) => each.name === name)?.count ?? 0) + 1;
    const at = host.now();
    store.keepFailure({ name, count, at, error });
    const next = new Date(nextTry({ life: null, failed: { count, at } }, jitterOf(name)));
    host.log.warn(
      { name, directory, evidence: error.evidence, again: next.toISOString() },
      `no certificate was issued: ${error.message}`,
    );
  }
}

async function issue(host: Host, name: string, signal: AbortSignal): Promise<void> {
  await host.proxy.requireTls();
  const { directory, email } = host.tls.acme.settings();
  await requireReachable(directory, signal);
  const { Client, crypto, axios } = await import('acme-client');
  axios.defaults.timeout = 30_000;
  const accountKey = await accountKeyOf(host, directory, () => crypto.createPrivateEcdsaKey());
  const url = host.tls.acme.store.account(directory)?.url ?? undefined;
  const client = new Client({
    directoryUrl: directory,
    accountKey,
    ...(url === undefined ? {} : { accountUrl: url }),
    backoffAttempts: 30,
    backoffMin: 1_000,
    backoffMax: 15_000,
  });
  const [key, csr] = await crypto.createCsr(
    { altNames: [name] },
    await crypto.createPrivateEcdsaKey(),
  );
  const tokens: string[] = [];
  const given = AbortSignal.any([signal, AbortSignal.timeout(ISSUE_MS)]);
  try {
    const certificate = await abortable(
      client.auto({
        csr,
        termsOfServiceAgreed: true,
        ...(email === undefined ? {} : { email }),
        challengePriority: ['http-01'],
        // The name may lead here only from outside.
        skipChallengeVerification: true,
        challengeCreateFn: async (_authorization, { token }, answer) => {
          given.throwIfAborted();
          tokens.push(token);
          await answerWith(host, token, answer);
        },
        // All at once, below: also what was cut.
        challengeRemoveFn: async () => undefined,
      }),
      given,
    );
    host.tls.acme.store.keepAccount(directory, { key: accountKey, url: client.getAccountUrl() });
    const source = new URL(directory).host;
    const pair = { certificate, key: String(key), origin: 'acme' as const, source };
    await addCertificate(host, pair, signal);
  } finally {
    await forgetAnswers(host, tokens);
  }
}

/** Asked first by ourselves: of a server that does not answer, the client says nothing of use. */
async function requireReachable(directory: string, signal: AbortSignal): Promise<void> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(REACH_MS)]);
  const { status } = await fetch(directory, { signal: bounded }).catch((cause: unknown) => {
    const why = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
    throw new Error(`it cannot be reached: ${why instanceof Error ? why.message : String(why)}`);
  });
  if (status !== 200) throw new Error(`its directory is answered with HTTP ${status}`);
}

/** Kept before it is used: an account that was made and forgotten would be made again each time. */
async function accountKeyOf(
  host: Host,
  directory: string,
  make: () => Promise<Buffer>,
): Promise<string> {
  const known = host.tls.acme.store.account(directory);
  if (known !== null) return known.key;
  const key = String(await make());
  host.tls.acme.store.keepAccount(directory, { key, url: null });
  return key;
}

async function answerWith(host: Host, token: string, answer: string): Promise<void> {
  const isPlain = (text: string): boolean => /^[A-Za-z0-9_.-]+$/.test(text);
  if (!isPlain(token) || !isPlain(answer)) throw new Error('the ACME server sent no token');
  await oneAtATime(async () => {
    host.tls.challenges.set(token, answer);
    await host.traffic.apply(host, AbortSignal.timeout(ANSWER_MS));
  });
}

/** What cannot be taken out now goes with the next look at drift. */
async function forgetAnswers(host: Host, tokens: readonly string[]): Promise<void> {
  if (tokens.length === 0) return;
  for (const token of tokens) host.tls.challenges.delete(token);
  await oneAtATime(() => host.traffic.apply(host, AbortSignal.timeout(ANSWER_MS))).catch(
    (error: unknown) => host.log.debug({ err: error }, 'an ACME answer stays for a moment'),
  );
}

/** The client knows no signal: what goes on behind is no concern of ours any more. */
async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => undefined);
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function failed(name: string, directory: string, cause: unknown): ZddError {
  const said = cause instanceof Error ? cause.message : String(cause);
  return new ZddError('ZDD_ACME_FAILED', `no certificate could be issued for ${name}`, {
    evidence: [
      ['ACME server', directory],
      ['it says', said.replaceAll('\\"', '"').slice(0, 500)],
    ],
    traffic: 'untouched: what was shown before is shown on',
    tries: [
      `dig +short ${name}        must be an address of this host`,
      `curl -v http://${name}/.well-known/acme-challenge/x        must reach this HAProxy`,
      `zdd-agent cert renew ${name}        tries again at once`,
    ],
    cause,
  });
}

import { standingRelease } from '../../core/model.ts';
import { formatDuration } from '../../protocol/duration.ts';
import { ZddError } from '../../protocol/errors.ts';
import type { NotifyEntry } from '../../protocol/notify.ts';
import { environmentOf } from '../environment.ts';
import { configOf, type Host } from '../host.ts';
import { redact, secretsOf } from '../redact.ts';
import { asJson, asSlack, asTicket, type Content } from './content.ts';

/** How long an address may take to answer, ms. */
const ANSWER_MS = 10_000;
/** A command finds the message in its environment, of which a kernel takes so much at once. */
const MAX_VARIABLE_BYTES = 96 * 1024;

/** What came of one try. `waitMs` is what whoever was told asks for. */
export type Delivery =
  | { readonly sent: true }
  | { readonly sent: false; readonly error: string; readonly waitMs?: number };

/** What a message is about beside what it says. */
export interface Envelope {
  readonly app: string;
  readonly deployment: number;
  /** In whose folder a command runs: the first of them that is there, else what serves. */
  readonly releases: readonly string[];
  /** Unique for ever on this host, for each try. */
  readonly name: string;
  /** Comes along unchanged with each try. */
  readonly key: string;
  readonly entry: NotifyEntry;
}

/**
 * Tries once. Never throws but for `signal`; no error it tells holds an address or anything else
 * that the host keeps for the app.
 */
export async function deliver(
  host: Host,
  content: Content,
  envelope: Envelope,
  signal: AbortSignal,
): Promise<Delivery> {
  const { app, entry, key } = envelope;
  const kept = host.environments.values(app);
  const hidden = (text: string): string => redact(text, secretsOf(kept));
  if ('run' in entry) return await tellCommand(host, hidden(asJson(content)), envelope, signal);
  const name = 'slack' in entry ? entry.slack : 'webhook' in entry ? entry.webhook : entry.ticket;
  const address = addressOf(kept[name]);
  if (address === null) {
    const what = kept[name] === undefined ? 'is not kept for this app' : 'is no http(s) address';
    return { sent: false, error: `the variable ${name} ${what}` };
  }
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'user-agent': 'zdd-agent',
    'idempotency-key': key,
  };
  if (address.authorization !== null) headers['authorization'] = address.authorization;
  const header = 'authorization' in entry ? entry.authorization : undefined;
  if (header !== undefined) {
    const value = kept[header];
    if (value === undefined || /[^\t\x20-\x7e]/.test(value)) {
      return { sent: false, error: `the variable ${header} is no header of this app` };
    }
    headers['authorization'] = value;
  }
  const body =
    'slack' in entry
      ? asSlack(content)
      : 'webhook' in entry
        ? asJson(content)
        : asTicket(content, entry);
  return await post(address.url, headers, hidden(body), signal);
}

function addressOf(text: string | undefined): { url: URL; authorization: string | null } | null {
  const url = text === undefined ? null : URL.parse(text.trim());
  if (url === null || !['http:', 'https:'].includes(url.protocol)) return null;
  if (url.username === '' && url.password === '') return { url, authorization: null };
  const user = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  url.username = '';
  url.password = '';
  return { url, authorization: `Basic ${Buffer.from(user).toString('base64')}` };
}

async function post(
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: string,
  signal: AbortSignal,
): Promise<Delivery> {
  const deadline = AbortSignal.timeout(ANSWER_MS);
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers,
      body,
      // Who is sent elsewhere would take the secrets along.
      redirect: 'manual',
      signal: AbortSignal.any([signal, deadline]),
    });
    await answer.body?.cancel();
    if (answer.ok) return { sent: true };
    const after = Number(answer.headers.get('retry-after') ?? Number.NaN);
    return {
      sent: false,
      error: `answered ${answer.status}`,
      ...(Number.isFinite(after) && after > 0 ? { waitMs: after * 1_000 } : {}),
    };
  } catch (error) {
    signal.throwIfAborted();
    if (deadline.aborted) return { sent: false, error: `no answer within ${ANSWER_MS / 1_000} s` };
    return { sent: false, error: `cannot be reached: ${reasonOf(error)}` };
  }
}

/** A code, never a message: that would name the address. */
function reasonOf(error: unknown): string {
  for (let inner = error; inner instanceof Error; inner = inner.cause) {
    if ('code' in inner && typeof inner.code === 'string') return inner.code;
  }
  return 'the connection failed';
}

async function tellCommand(
  host: Host,
  message: string,
  { app, deployment, releases, name, entry }: Envelope,
  signal: AbortSignal,
): Promise<Delivery> {
  if (!('run' in entry)) throw new Error('not a command');
  const release = releaseFor(host, app, releases);
  if (release === null) return { sent: false, error: 'no release is there to run the command in' };
  const generation = { release, deployment };
  const environment = environmentOf(host, app, generation, configOf(host, app, generation));
  const { run: command, within } = entry;
  try {
    const { exit, timedOut } = await host.runner.runOnce(
      {
        name,
        app,
        release,
        command,
        cwd: host.layout.release(app, release),
        env: { ...environment, ZDD_NOTIFICATION: shortened(message) },
        timeoutMs: within,
      },
      signal,
    );
    signal.throwIfAborted();
    if (timedOut) return { sent: false, error: `ran longer than ${formatDuration(within)}` };
    if (exit.code === 0) return { sent: true };
    const how = exit.code === null ? `was ended by ${exit.signal}` : `exited with ${exit.code}`;
    return { sent: false, error: how };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ZddError) return { sent: false, error: error.code };
    throw error;
  }
}

/** The release that was deployed, while it is there, else the one that serves. */
function releaseFor(host: Host, app: string, releases: readonly string[]): string | null {
  const standing = standingRelease(host.journal.state(app));
  const wanted = [...releases.slice(0, 1), ...(standing === null ? [] : [standing]), ...releases];
  return wanted.find((release) => host.releases.find(app, release) !== null) ?? null;
}

function shortened(message: string): string {
  if (Buffer.byteLength(message) <= MAX_VARIABLE_BYTES) return message;
  const whole: Record<string, unknown> = JSON.parse(message);
  return JSON.stringify({ ...whole, receipt: null, pause: null });
}

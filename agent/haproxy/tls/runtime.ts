import type { DesiredTls } from '../desired.ts';
import { commandError, refusalOf } from '../refusal.ts';
import type { Conversation } from '../runtime.ts';
import { parseMap } from '../tables.ts';
import { pemPath, type TlsPlaces } from './files.ts';

/** One line of the running list. */
interface Entry {
  readonly path: string;
  /** Its number in HAProxy's memory; a line that is added later has a higher one. */
  readonly line: number;
  readonly names: readonly string[];
}

/** The certificates and ACME answers of the running worker. */
export interface RunningTls {
  readonly entries: readonly Entry[];
  /** Certificates of ours in its memory, whether shown or not: path -> SHA-1 fingerprint, hex. */
  readonly loaded: ReadonlyMap<string, string>;
  /** A certificate of ours whose change was begun and left: HAProxy begins no other before it ends. */
  readonly open: string | undefined;
  readonly challenges: ReadonlyMap<string, string>;
}

/** One thing that differs; `what` is for people. */
export type TlsChange = { readonly what: string } & (
  | { readonly kind: 'abort'; readonly path: string }
  | { readonly kind: 'load'; readonly path: string; readonly pem: string; readonly isNew: boolean }
  | { readonly kind: 'show'; readonly path: string; readonly names: readonly string[] }
  | { readonly kind: 'hide'; readonly path: string; readonly line: number }
  | { readonly kind: 'forget'; readonly path: string }
  | {
      readonly kind: 'answer';
      readonly token: string;
      readonly to: string;
      readonly isNew: boolean;
    }
  | { readonly kind: 'unanswer'; readonly token: string }
);

/**
 * What the running worker has.
 * @returns undefined when what it has loaded names no certificates of ours
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function observeTls(
  { ask }: Pick<Conversation, 'ask'>,
  places: TlsPlaces,
): Promise<RunningTls | undefined> {
  const list = await ask(`show ssl crt-list -n ${places.list}`);
  if (!list.startsWith('#')) return undefined;
  const map = await ask(`show map ${places.challenges}`);
  if (refusalOf(map) === 'no_such_map') return undefined;
  const loaded = new Map<string, string>();
  let open: string | undefined;
  for (const line of (await ask('show ssl cert')).split('\n')) {
    // A `*` marks one whose change has begun and not ended.
    const path = line.replace(/^\*/, '');
    if (path !== line && path.startsWith(`${places.folder}/`)) open = path;
    if (!path.startsWith(`${places.folder}/`) || loaded.has(path)) continue;
    const shown = await ask(`show ssl cert ${path}`);
    loaded.set(path, /^SHA1 FingerPrint: ([0-9A-F]+)$/m.exec(shown)?.[1]?.toLowerCase() ?? '');
  }
  return { entries: entriesOf(list), loaded, open, challenges: parseMap(map) };
}

/** What has to change, in an order in which no name is without a certificate in between. */
export function tlsChanges(
  running: RunningTls,
  tls: DesiredTls,
  places: TlsPlaces,
): readonly TlsChange[] {
  const changes: TlsChange[] = [];
  const wanted = new Map(
    tls.certificates.map((certificate) => [pemPath(places, certificate.id), certificate]),
  );
  const kept = new Set<Entry>();
  if (running.open !== undefined) {
    changes.push({
      kind: 'abort',
      path: running.open,
      what: 'a change of a certificate: left open',
    });
  }
  for (const [path, { names, pem, fingerprint }] of wanted) {
    const found = running.loaded.get(path);
    if (found !== fingerprint) {
      const what = `certificate ${names[0]}: ${found === undefined ? 'missing' : 'another'} at runtime`;
      changes.push({ kind: 'load', path, pem, isNew: found === undefined, what });
    }
    const shown = running.entries.find(
      (entry) => entry.path === path && entry.names.join(' ') === names.join(' '),
    );
    if (shown !== undefined) kept.add(shown);
    else {
      const what = `certificate ${names[0]}: not shown for ${names.join(', ')}`;
      changes.push({ kind: 'show', path, names, what });
    }
  }
  for (const entry of running.entries) {
    if (kept.has(entry)) continue;
    const what = `certificate for ${entry.names.join(', ')}: not wanted`;
    changes.push({ kind: 'hide', path: entry.path, line: entry.line, what });
  }
  for (const path of running.loaded.keys()) {
    if (!wanted.has(path)) changes.push({ kind: 'forget', path, what: `${path}: not wanted` });
  }
  for (const [token, to] of tls.challenges) {
    const found = running.challenges.get(token);
    const what = 'an answer to an ACME server: missing at runtime';
    if (found !== to) changes.push({ kind: 'answer', token, to, isNew: found === undefined, what });
  }
  for (const token of running.challenges.keys()) {
    const what = 'an answer to an ACME server: not wanted';
    if (!tls.challenges.has(token)) changes.push({ kind: 'unanswer', token, what });
  }
  return changes;
}

/**
 * Makes these changes one by one. Each is in force for all handshakes from then on; while two lines
 * name a certificate for one name, the earlier one is shown.
 * @throws ZDD_HAPROXY_COMMAND with HAProxy's own words, never with a key; ZDD_HAPROXY_DOWN,
 *   ZDD_HAPROXY_TIMEOUT
 */
export async function changeTls(
  conversation: Conversation,
  changes: readonly TlsChange[],
  places: TlsPlaces,
): Promise<void> {
  for (const change of changes) await changeOne(conversation, change, places);
}

async function changeOne(
  conversation: Conversation,
  change: TlsChange,
  places: TlsPlaces,
): Promise<void> {
  const { list, challenges } = places;
  switch (change.kind) {
    case 'abort':
      return await order(conversation, `abort ssl cert ${change.path}`, /^Transaction aborted/);
    case 'load':
      return await load(conversation, change.path, change.pem, change.isNew);
    case 'show': {
      const line = `${change.path} ${change.names.join(' ')}`;
      return await order(conversation, `add ssl crt-list ${list}`, /Success!$/, `${line}\n`);
    }
    case 'hide':
      return await order(
        conversation,
        `del ssl crt-list ${list} ${change.path}:${change.line}`,
        /^Entry .* deleted in crtlist/,
      );
    case 'forget':
      return await order(conversation, `del ssl cert ${change.path}`, /^Certificate .* deleted!/);
    case 'answer':
      return await conversation.order(
        `${change.isNew ? 'add' : 'set'} map ${challenges} ${change.token} ${change.to}`,
      );
    case 'unanswer':
      return await conversation.order(`del map ${challenges} ${change.token}`);
  }
}

/** One transaction; HAProxy has one at a time. */
async function load(
  conversation: Conversation,
  path: string,
  pem: string,
  isNew: boolean,
): Promise<void> {
  if (isNew) await order(conversation, `new ssl cert ${path}`, /^New empty certificate store/);
  await order(conversation, `set ssl cert ${path}`, /^Transaction (created|updated)/, pem);
  try {
    await order(conversation, `commit ssl cert ${path}`, /Success!$/);
  } catch (error) {
    await conversation.ask(`abort ssl cert ${path}`);
    throw error;
  }
}

/** @param payload lines, the last one ended: a blank line behind them ends it */
async function order(
  { ask }: Conversation,
  command: string,
  success: RegExp,
  payload?: string,
): Promise<void> {
  const sent = payload === undefined ? command : `${command} <<\n${payload}`;
  // HAProxy asks for each line of a payload with a `+ `.
  const answer = (await ask(sent)).replace(/^(\+ )+/, '');
  if (!success.test(answer)) throw commandError(command, answer);
}

/** `/path/a.pem:3 shop.example.com www.example.com` */
function entriesOf(list: string): readonly Entry[] {
  return list.split('\n').flatMap((text) => {
    const found = /^(\/\S+):(\d+)(?: \[[^\]]*\])?(?: (.*))?$/.exec(text);
    if (found?.[1] === undefined) return [];
    const names = (found[3] ?? '').split(' ').filter((name) => name !== '');
    return [{ path: found[1], line: Number(found[2]), names }];
  });
}

import type { DesiredApp, DesiredSplit, PreviewRule } from '../desired.ts';
import { mapPath } from './maps.ts';
import { backendOf } from './names.ts';
import { quote } from './words.ts';

/** Users are numbered by chance from 0 up to here, and keep their number. */
export const USERS = 10_000;
const COOKIE = 'zdd_bucket';
const COOKIE_SECONDS = 7 * 24 * 3_600;
/** HAProxy reads 64 words a line; the rest of the rule needs some. */
const ADDRESSES_PER_LINE = 40;

/**
 * Divides users, not requests: each has a number in a cookie, and is on the candidate if it is below
 * the share. A share that grows sends nobody back. Whoever keeps no cookies gets a new number with
 * each request. The candidate's servers have weight 0 meanwhile: when one cannot be reached, stable
 * answers.
 */
export function splitRules(app: DesiredApp, folder: string): string[] {
  if (app.split === undefined) return [];
  const { preview } = app.split;
  const rule = (what: string): string => `  http-request ${what}`;
  const field = (name: string, at: number): string =>
    rule(`set-var(txn.zdd_${name}) var(txn.zdd_share),field(${at},/),add(0) if zdd_shared`);
  return [
    `  # While a candidate has a share of the users, it stands in ${mapPath('', 'shares').slice(1)}.`,
    rule(`set-var(txn.zdd_share) str(${backendOf(app.app)}),map_str(${mapPath(folder, 'shares')})`),
    '  acl zdd_shared var(txn.zdd_share) -m found',
    rule(
      `set-var(txn.zdd_user) req.cook(${COOKIE}),add(0) if zdd_shared { req.cook(${COOKIE}) -m reg ^[0-9]{1,4}$ }`,
    ),
    rule(`set-var(txn.zdd_new_user) rand(${USERS}) if zdd_shared !{ var(txn.zdd_user) -m found }`),
    rule('set-var(txn.zdd_user) var(txn.zdd_new_user) if { var(txn.zdd_new_user) -m found }'),
    field('limit', 1),
    field('servers', 2),
    field('turn', 3),
    rule(`set-var(txn.zdd_user) var(txn.zdd_user),add(txn.zdd_turn),mod(${USERS}) if zdd_shared`),
    '  acl zdd_chosen var(txn.zdd_user),sub(txn.zdd_limit) -m int lt 0',
    ...(preview === null ? [] : previewAcls(preview)),
    rule('set-var(txn.zdd_index) var(txn.zdd_user),mod(txn.zdd_servers),add(1) if zdd_shared'),
    rule(
      'set-var(txn.zdd_server) var(txn.zdd_share),field(4,/),concat(,txn.zdd_index) if zdd_shared zdd_chosen',
    ),
    setCookie('', '!{ ssl_fc }'),
    setCookie('; Secure', '{ ssl_fc }'),
  ];
}

/** Sends a user to the candidate. HAProxy wants it after all rules that it goes by, and warns else. */
export function splitChoice({ split }: DesiredApp): string[] {
  if (split === undefined) return [];
  return ['  use-server %[var(txn.zdd_server)] if { var(txn.zdd_server) -m found }'];
}

/**
 * Headers of a request that goes to the candidate for sure: as the first of the users that have a
 * share, else as the team. Null where nobody is sent to it.
 */
export function headersToCandidate({
  preview,
  share,
}: DesiredSplit): Readonly<Record<string, string>> | null {
  if (share !== null && share.ofTenThousand > 0) {
    return { cookie: `${COOKIE}=${(USERS - share.turn) % USERS}` };
  }
  const { header, cookie } = preview ?? {};
  if (share === null) return null;
  if (header !== undefined) return { [header.name.toLowerCase()]: header.value ?? 'smoke' };
  return cookie === undefined ? null : { cookie: `${cookie.name}=${cookie.value ?? 'smoke'}` };
}

function setCookie(attributes: string, condition: string): string {
  return `  http-response add-header Set-Cookie "${COOKIE}=%[var(txn.zdd_new_user)]; Path=/; Max-Age=${COOKIE_SECONDS}; HttpOnly; SameSite=Lax${attributes}" if { var(txn.zdd_new_user) -m found } !{ res.hdr(cache-control) -m sub -i public } ${condition}`;
}

/** Conditions of one name are alternatives. */
function previewAcls({ header, cookie, ips }: PreviewRule): string[] {
  const has = (fetch: string, value: string | null): string =>
    value === null
      ? `  acl zdd_chosen ${fetch} -m found`
      : `  acl zdd_chosen ${fetch} -m str ${quote(value)}`;
  const lines: string[] = [];
  if (header !== undefined) lines.push(has(`req.hdr(${header.name})`, header.value));
  if (cookie !== undefined) lines.push(has(`req.cook(${cookie.name})`, cookie.value));
  for (let from = 0; from < ips.length; from += ADDRESSES_PER_LINE) {
    lines.push(`  acl zdd_chosen src ${ips.slice(from, from + ADDRESSES_PER_LINE).join(' ')}`);
  }
  return lines;
}

import { SHADOW_HEADERS } from '../../protocol/shadow.ts';
import type { DesiredApp } from '../desired.ts';
import { COPY_END, MAX_BODY_BYTES } from '../shadow/line.ts';

/**
 * The ring that copies go through: read by way of the admin socket, by nobody else. No app's backend
 * has a name like it: from 3.2 on that would be refused.
 */
export const SHADOW_RING = 'zdd-copies';
/** How long a share lasts that nobody renews, s: who renews it may be dead. */
const SHARE_LASTS_S = 5;
/** A share of 1. HAProxy throws dice with so many sides. */
export const WHOLE_SHARE = 10_000;
/** HAProxy reads 64 words a line; the rest of the rule needs some. */
const PATHS_PER_LINE = 40;

/**
 * Where the running HAProxy keeps which share of an app's requests is copied: a counter of the only
 * entry of a table, which ends by itself. None of it is in the file: nobody wants to find it on after
 * a reload.
 */
export function shadowTable(app: string): { table: string; key: string } {
  // An app's name has no `_`: no app can have this backend.
  return { table: `zdd_${app}_shadow`, key: 'share' };
}

/** The ring, once for all apps; nothing while none of them wants it. */
export function shadowRing(apps: readonly DesiredApp[]): string[] {
  if (apps.every(({ shadow }) => shadow === undefined)) return [];
  return [
    `ring ${SHADOW_RING}`,
    '  # Copies of requests, in memory. Without a reader they are overwritten; nothing waits.',
    '  format raw',
    '  maxlen 16000',
    '  size 1048576',
  ];
}

/** The section that holds an app's share. */
export function shadowFlag({ app, shadow }: DesiredApp): string[] {
  if (shadow === undefined) return [];
  return [
    `backend ${shadowTable(app).table}`,
    '  mode http',
    '  timeout connect 5s',
    '  timeout server 5s',
    `  stick-table type string len 8 size 16 expire ${SHARE_LASTS_S}s store gpc0`,
  ];
}

/**
 * Writes a copy of some requests, with how they were answered, into the ring. It is written when the
 * head of the answer is there, so nothing of it stands between a request and its answer but the
 * putting together of a few strings. `debug` is HAProxy's only action that writes to a ring by itself
 * (a log target gets every request, in the admin's format).
 */
export function shadowRules({ app, shadow }: DesiredApp): string[] {
  const strip = '  http-request del-header X-Zdd-Shadow';
  if (shadow === undefined) return [strip];
  const { table, key } = shadowTable(app);
  const chosen = '{ var(txn.zdd_shadow_die) -m int lt 0 }';
  const begun = 'if { var(txn.zdd_shadow_at) -m found }';
  const names = [...new Set<string>([...SHADOW_HEADERS, ...shadow.headers])];
  const headers = names.map((name) => `${name}=%[req.fhdr(${name}),base64]`);
  const request = [
    '%[method]',
    '%[pathq,base64]',
    '%[req.fhdr(content-length),base64]',
    '%[var(txn.zdd_shadow_body)]',
    ...headers,
  ];
  return [
    strip,
    '  # Shadow traffic: while the agent says so, a share of requests is copied into memory.',
    `  http-request set-var(txn.zdd_shadow_die) str(${key}),table_gpc0(${table})`,
    `  http-request set-var(txn.zdd_shadow_die) rand(${WHOLE_SHARE}),sub(txn.zdd_shadow_die)`,
    `  http-request set-var(txn.zdd_shadow_at) date(0,ms) if ${chosen} { method GET HEAD } !{ req.hdr(upgrade) -m found }`,
    ...withBodies(shadow.bodies, chosen),
    `  http-request set-var-fmt(txn.zdd_shadow) "${request.join('|')}" ${begun}`,
    `  http-after-response set-var-fmt(txn.zdd_shadow) "%[status]|%[date(0,ms),sub(txn.zdd_shadow_at)]|%[var(txn.zdd_shadow)]|${COPY_END}" ${begun}`,
    `  http-after-response set-var(txn.zdd_shadow_die) var(txn.zdd_shadow),debug(${app},${SHADOW_RING}) ${begun}`,
  ];
}

/** What has come of the body with the head: nobody waits for the rest. */
function withBodies(paths: readonly string[], chosen: string): string[] {
  const lines: string[] = [];
  for (let from = 0; from < paths.length; from += PATHS_PER_LINE) {
    lines.push(`  acl zdd_shadow_body path ${paths.slice(from, from + PATHS_PER_LINE).join(' ')}`);
  }
  if (lines.length === 0) return [];
  const written = '!{ method GET HEAD } zdd_shadow_body';
  return [
    ...lines,
    `  http-request set-var(txn.zdd_shadow_at) date(0,ms) if ${chosen} ${written}`,
    `  http-request set-var(txn.zdd_shadow_body) req.body,base64 if ${chosen} ${written} { req.body_size le ${MAX_BODY_BYTES} }`,
  ];
}

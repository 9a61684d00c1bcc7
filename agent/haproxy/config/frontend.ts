import { MAX_STRIPPED_SEGMENTS, MAX_WILDCARD_LABELS } from '../../protocol/routes.ts';
import type { LogPlace } from '../access-log/format.ts';
import { EMPTY_PAGE } from './empty-page.ts';
import { logToRing } from './log-ring.ts';
import { mapPath } from './maps.ts';
import { type TlsEntrance, tlsBinds, tlsRules } from './tls.ts';
import { PLAIN, quote } from './words.ts';

/**
 * The frontend of all apps. It does not change when routes do: they stand in the map files.
 * @param mapFolder where those are; undefined before the first app, when there is nothing to route
 * @param accessLog the agent's reader of it, if there is one
 * @param tls how it takes TLS; undefined: not at all
 */
export function frontend(
  bind: readonly string[],
  mapFolder: string | undefined,
  accessLog: LogPlace | undefined,
  tls: TlsEntrance | undefined,
): string[] {
  return [
    'frontend zdd',
    ...frontendSettings(),
    ...logToRing(accessLog),
    ...bind.map((address) => `  bind ${address}`),
    ...(tls === undefined ? [] : [...tlsBinds(tls), ...tlsRules(tls.folder)]),
    ...(mapFolder === undefined ? [] : routing(mapFolder)),
    '  default_backend zdd-nobody',
  ];
}

/**
 * No `defaults` of ours: whatever an admin writes below the region would inherit it. So each section
 * says everything that matters, whatever the admin's own defaults are.
 */
function frontendSettings(): string[] {
  return [
    '  mode http',
    '  log global',
    '  option httplog',
    '  option dontlognull',
    '  # After a reload an idle client is told to reconnect by its next answer, not by a reset.',
    '  option idle-close-on-response',
    '  timeout http-request 10s',
    '  timeout http-keep-alive 30s',
    '  timeout client 60s',
  ];
}

/**
 * `map_beg` finds the longest key that what is asked for begins with. Keys and what is asked for end
 * in `/`, so that `/api` is no beginning of `/apix`. A wildcard is found by the last labels of the
 * host, all but its first: `*.example.com` is for hosts below that domain, not for the domain.
 */
function routing(folder: string): string[] {
  const hosts = `map_beg(${mapPath(folder, 'hosts')})`;
  const wildcards = `map_beg(${mapPath(folder, 'wildcards')})`;
  const unless = 'unless { var(txn.zdd_to) -m found }';
  const depths = Array.from({ length: MAX_WILDCARD_LABELS }, (_, n) => MAX_WILDCARD_LABELS - n);
  const strips = Array.from({ length: MAX_STRIPPED_SEGMENTS }, (_, n) => n + 1);
  return [
    '  http-request set-var(txn.zdd_host) req.hdr(host),field(1,:),lower,rtrim(.)',
    '  http-request set-var(txn.zdd_above) var(txn.zdd_host),field(2,.,0)',
    '  http-request set-var(txn.zdd_path) path,concat(/)',
    '  http-request set-var(txn.zdd_path) str(/) unless { var(txn.zdd_path) -m found }',
    '  # The host itself, then what it is below of, the longest first, then every host.',
    `  http-request set-var(txn.zdd_to) var(txn.zdd_host),concat(,txn.zdd_path),${hosts}`,
    ...depths.map(
      (labels) =>
        `  http-request set-var(txn.zdd_to) var(txn.zdd_above),field(-1,.,${labels}),concat(,txn.zdd_path),${wildcards} ${unless}`,
    ),
    `  http-request set-var(txn.zdd_to) var(txn.zdd_path),${wildcards} ${unless}`,
    '  http-request set-var(txn.zdd_asked) pathq',
    '  # What a route takes off the path, the app may add to its links again.',
    ...strips.flatMap((segments) => [
      `  http-request set-header X-Forwarded-Prefix /%[path,field(2,/,${segments})] if { var(txn.zdd_to),field(2,/) ${segments} }`,
      `  http-request set-path /%[path,field(${segments + 2},/,0)] if { var(txn.zdd_to),field(2,/) ${segments} }`,
    ]),
    '  use_backend %[var(txn.zdd_to),field(1,/)] if { var(txn.zdd_to) -m found }',
  ];
}

/**
 * Where requests for a host that no app answers for end; before the first app, all of them. It may not
 * have the frontend's name: HAProxy 3.2 warns of that, 3.3 is to refuse it.
 */
export function nobody(noApps: boolean): string[] {
  return [
    'backend zdd-nobody',
    '  mode http',
    '  timeout connect 5s',
    '  timeout server 60s',
    noApps
      ? `  http-request return status 503 content-type "text/html; charset=utf-8" hdr Retry-After 30 string ${quote(EMPTY_PAGE)}`
      : `  http-request return status 404 content-type "${PLAIN}" string "No app answers for this host.\\n"`,
  ];
}

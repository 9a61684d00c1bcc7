import type { DesiredApp, DesiredServer } from '../desired.ts';
import { accessRules } from './access.ts';
import { holdRule } from './hold.ts';
import { maintenanceRule, quoteText } from './maintenance.ts';
import { addressText, backendOf } from './names.ts';
import { shadowRules } from './shadow.ts';
import { splitChoice, splitRules } from './split.ts';
import { stickyChoice, stickyRules } from './sticky.ts';
import { hstsRules } from './tls.ts';
import { PLAIN, quote } from './words.ts';

/**
 * What every server gets, in the file and at runtime alike: there each by itself, because `add server`
 * ignores `default-server`. Checks of a server that is up are 2 s apart and three must fail: tighter ones
 * took healthy, busy servers down. One that is down or not admitted yet is asked every 100 ms.
 * Requests that fail in a row take no server out, they only make HAProxy ask at once, and again after
 * 500 ms: it is always the check, which is the agent's own probe, that decides.
 * Without the pool settings 2.6 never reuses a connection to a server added at runtime.
 */
const SERVER_OPTIONS =
  'check inter 2s fastinter 500ms downinter 100ms fall 3 rise 1 observe layer7 error-limit 10 on-error fastinter pool-purge-delay 5s pool-max-conn -1';

/** All options of a server but for its weight, as `add server` wants them. */
export function serverOptions(server: DesiredServer): string {
  return [SERVER_OPTIONS, ...ownOptions(server)].join(' ');
}

/** Those that not every server of its backend has. */
function ownOptions({ maxconn, slowStartMs = 0 }: DesiredServer): readonly string[] {
  return [
    ...(maxconn === undefined ? [] : [`maxconn ${maxconn}`]),
    ...(slowStartMs === 0 ? [] : [`slowstart ${slowStartMs}`]),
  ];
}

/**
 * `show sess all` tells neither path nor headers, but the scheduling nice of each stream: the one
 * mark that can be put on it. 7 of 1024 does nothing to its priority.
 */
export const LONG_ANSWER_NICE = 7;

/**
 * The backend of an app but for its servers. What holds for the app whoever routes to it stands here, not in our
 * frontend: an admin's own may send it requests too.
 */
export function backend(app: DesiredApp, mapFolder: string): string[] {
  return [
    `backend ${backendOf(app.app)}`,
    ...backendSettings(app),
    ...maintenanceRule(app),
    ...hstsRules(app.hsts),
    ...accessRules(app),
    // Before all that chooses a server: those who wait shall meet what is there when they go on.
    ...holdRule(app),
    ...splitRules(app, mapFolder),
    ...stickyRules(app, mapFolder),
    '  # A request that is not idempotent is never sent to an instance twice.',
    '  http-request disable-l7-retry unless { method GET HEAD OPTIONS PUT DELETE TRACE }',
    // The path as the app would see it: our frontend has taken off what a route strips.
    ...(app.refused ?? []).map(
      (path) => `  http-request deny deny_status 404 if { path,url_dec -m str ${path} }`,
    ),
    ...shadowRules(app),
    '  # Marks answers that are open by nature: they drain as WebSockets do.',
    `  http-response set-nice ${LONG_ANSWER_NICE} if { res.fhdr(content-type) -m beg -i text/event-stream application/grpc }`,
    ...splitChoice(app),
    ...stickyChoice(app),
    ...healthCheck(app),
    // Once, and not with each server: of a host with many apps they were half of what HAProxy has to read.
    `  default-server ${SERVER_OPTIONS}`,
  ];
}

function backendSettings({ overload }: DesiredApp): string[] {
  const page = overload?.page ?? null;
  const unavailable =
    page === null
      ? `content-type "${PLAIN}" string "No instance of this app is up. Please try again.\\n"`
      : `content-type "text/html; charset=utf-8" hdr Cache-Control no-store string ${quoteText(page)}`;
  return [
    '  mode http',
    '  balance roundrobin',
    '  option redispatch 1',
    '  retries 3',
    '  retry-on conn-failure empty-response',
    '  timeout connect 5s',
    '  timeout check 2s',
    `  timeout queue ${overload?.queueMs ?? 10_000}`,
    '  timeout server 60s',
    '  timeout tunnel 1h',
    `  http-error status 502 content-type "${PLAIN}" string "The app broke off its answer.\\n"`,
    `  http-error status 503 ${unavailable} hdr Retry-After 5`,
    `  http-error status 504 content-type "${PLAIN}" string "The app did not answer in time.\\n"`,
  ];
}

/** Asked as the agent's own probe asks. Without a path HAProxy only connects. */
function healthCheck({ check }: DesiredApp): string[] {
  if (check === null) return [];
  return [
    '  option httpchk',
    `  http-check send meth GET uri ${quote(check.path)} ver HTTP/1.1 hdr Host localhost`,
    `  http-check expect status ${check.status}`,
  ];
}

/** A server of such a backend, below its settings. @param chroot of HAProxy */
export function serverLine(server: DesiredServer, chroot: string | undefined): string {
  const { name, address, state } = server;
  const place = /^(r\d+)(?:-[0-9a-z]+)*?-d(\d+)-(.+?)-(\d+)$/.exec(name);
  const comment =
    place === null ? '' : ` # ${place[1]}, deployment ${place[2]}, ${place[3]} ${place[4]}`;
  const leaving = state === 'leaving';
  const weight = leaving ? 0 : server.weight;
  const words = [name, addressText(address, chroot), ...ownOptions(server), `weight ${weight}`];
  return `  server ${words.join(' ')}${leaving ? ' disabled' : ''}${comment}`;
}

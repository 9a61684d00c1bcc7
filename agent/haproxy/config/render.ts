import { createHash } from 'node:crypto';
import { type LogPlace, MAX_LINE_BYTES, structuredData } from '../access-log/format.ts';
import type { DesiredApp, DesiredProxy, DesiredServer } from '../proxy.ts';
import { EMPTY_PAGE } from './empty-page.ts';
import { maintenanceFlag, maintenanceRule } from './maintenance.ts';
import { addressText, backendOf } from './names.ts';

/** What the region says beside the apps. */
export interface RenderOptions {
  /** Where the frontend listens; empty: no frontend of ours, the admin's route to `zdd_<app>`. */
  readonly bind: readonly string[];
  /** The admin socket, when the region opens it itself; undefined: the admin's part does. */
  readonly adminSocket?: string | undefined;
  /** `chroot` of the file's global section. */
  readonly chroot: string | undefined;
  /** The agent's reader of the access log; undefined: there is none. */
  readonly accessLog?: LogPlace | undefined;
}

/** The managed region and the hash of what only a reload can change. */
export interface Rendered {
  /** Body of the region, each line ended. */
  readonly text: string;
  /** Equal for two regions that differ in nothing but servers: 16 hex digits. */
  readonly shape: string;
}

/** Names the running worker's shape: `show env ZDD_SHAPE`. */
export const SHAPE_VARIABLE = 'ZDD_SHAPE';

/**
 * What every server gets, in the file and at runtime alike, because `add server` ignores
 * `default-server`. Checks of a server that is up are 2 s apart and three must fail: tighter ones
 * took healthy, busy servers down. One that is down or not admitted yet is asked every 100 ms.
 * Without the pool settings 2.6 never reuses a connection to a server added at runtime.
 */
export const SERVER_OPTIONS =
  'check inter 2s downinter 100ms fall 3 rise 1 pool-purge-delay 5s pool-max-conn -1';

/** HAProxy reads 64 words a line (MAX_LINE_ARGS); the rest of the rule needs some. */
const HOSTS_PER_LINE = 40;

/** Renders the managed region. Pure: equal input, equal bytes. */
export function renderRegion(desired: DesiredProxy, options: RenderOptions): Rendered {
  const apps = [...desired.apps].sort((a, b) => compare(a.app, b.app));
  const shapeText = render(apps, options, '', false);
  const shape = createHash('sha256').update(shapeText).digest('hex').slice(0, 16);
  return { text: render(apps, options, shape, true), shape };
}

function render(
  apps: readonly DesiredApp[],
  options: RenderOptions,
  shape: string,
  withServers: boolean,
): string {
  const sections = [
    [
      'global',
      `  # Tells which region a running worker has loaded.`,
      `  setenv ZDD_SHAPE "${shape}"`,
      ...adminSocketLines(options),
    ],
    ...(options.accessLog === undefined ? [] : [accessLogRing(options.accessLog)]),
    ...(options.bind.length === 0 ? [] : [frontend(apps, options), nobody(apps.length === 0)]),
    ...apps.flatMap((app) => [
      backend(app, options.chroot, withServers),
      maintenanceFlag(app, withServers),
    ]),
  ];
  return sections.map((lines) => `${lines.join('\n')}\n`).join('\n');
}

/** Sockets of several `global` sections add up: the admin's own stay. */
function adminSocketLines({ adminSocket: path }: RenderOptions): string[] {
  if (path === undefined) return [];
  return [
    '  # The agent is no root: this one is for its group.',
    `  stats socket ${path} mode 660 group haproxy level admin expose-fd listeners`,
  ];
}

/**
 * Requests are told to the agent by way of this ring: HAProxy never waits for who reads it, and what
 * nobody reads is overwritten. TCP, because HAProxy 2.6 spins when a unix socket has no reader.
 */
function accessLogRing({ port }: LogPlace): string[] {
  return [
    'ring zdd',
    '  # For the agent, which judges releases by it. No path, no client: the filler pushes them out.',
    '  format rfc5424',
    `  maxlen ${MAX_LINE_BYTES}`,
    '  size 1048576',
    '  timeout connect 2s',
    '  timeout server 10s',
    `  server agent 127.0.0.1:${port}`,
  ];
}

/** Beside the admin's log and in a format of its own, so that the admin's stays as it is. */
function accessLogLines(place: LogPlace | undefined): string[] {
  if (place === undefined) return [];
  return [
    `  log ring@zdd len ${MAX_LINE_BYTES} format rfc5424 local0`,
    `  log-format-sd "${structuredData(place.name)}"`,
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

function backendSettings(): string[] {
  return [
    '  mode http',
    '  balance roundrobin',
    '  option redispatch 1',
    '  retries 3',
    '  retry-on conn-failure empty-response',
    '  timeout connect 5s',
    '  timeout check 2s',
    '  timeout queue 10s',
    '  timeout server 60s',
    '  timeout tunnel 1h',
    `  http-error status 502 content-type "${PLAIN}" string "The app broke off its answer.\\n"`,
    `  http-error status 503 content-type "${PLAIN}" string "No instance of this app is up. Please try again.\\n" hdr Retry-After 5`,
    `  http-error status 504 content-type "${PLAIN}" string "The app did not answer in time.\\n"`,
  ];
}

/**
 * `show sess all` tells neither path nor headers, but the scheduling nice of each stream: the one
 * mark that can be put on it. 7 of 1024 does nothing to its priority.
 */
export const LONG_ANSWER_NICE = 7;

const PLAIN = 'text/plain; charset=utf-8';

function frontend(apps: readonly DesiredApp[], { bind, accessLog }: RenderOptions): string[] {
  const exact = apps.flatMap((app) =>
    rules(
      app,
      'str',
      app.routes.filter((route) => !route.startsWith('*')),
    ),
  );
  // The longest suffix first: `*.eu.example.com` before `*.example.com`.
  const wildcards = apps
    .flatMap((app) =>
      app.routes
        .filter((route) => route.startsWith('*.'))
        .map((route) => ({ app, suffix: route.slice(1) })),
    )
    .sort((a, b) => b.suffix.length - a.suffix.length || compare(a.suffix, b.suffix))
    .flatMap(({ app, suffix }) => rules(app, 'end', [suffix]));
  const everyHost = apps.find((app) => app.routes.includes('*'));
  return [
    'frontend zdd',
    ...frontendSettings(),
    ...accessLogLines(accessLog),
    ...bind.map((address) => `  bind ${address}`),
    '  http-request set-var(txn.zdd_host) req.hdr(host),field(1,:),lower',
    ...exact,
    ...wildcards,
    `  default_backend ${everyHost === undefined ? 'zdd' : backendOf(everyHost.app)}`,
  ];
}

function rules(app: DesiredApp, match: 'str' | 'end', values: readonly string[]): string[] {
  const lines: string[] = [];
  for (let from = 0; from < values.length; from += HOSTS_PER_LINE) {
    const some = [...values].sort().slice(from, from + HOSTS_PER_LINE);
    lines.push(
      `  use_backend ${backendOf(app.app)} if { var(txn.zdd_host) -m ${match} ${some.join(' ')} }`,
    );
  }
  return lines;
}

/** Where requests for a host that no app answers for end; before the first app, all of them. */
function nobody(noApps: boolean): string[] {
  return [
    'backend zdd',
    '  mode http',
    '  timeout connect 5s',
    '  timeout server 60s',
    noApps
      ? `  http-request return status 503 content-type "text/html; charset=utf-8" hdr Retry-After 30 string ${quote(EMPTY_PAGE)}`
      : `  http-request return status 404 content-type "${PLAIN}" string "No app answers for this host.\\n"`,
  ];
}

function backend(app: DesiredApp, chroot: string | undefined, withServers: boolean): string[] {
  return [
    `backend ${backendOf(app.app)}`,
    ...backendSettings(),
    ...maintenanceRule(app),
    '  # A request that is not idempotent is never sent to an instance twice.',
    '  http-request disable-l7-retry unless { method GET HEAD OPTIONS PUT DELETE TRACE }',
    ...(app.refused ?? []).map(
      (path) => `  http-request deny deny_status 404 if { path,url_dec -m str ${path} }`,
    ),
    '  # Marks answers that are open by nature: they drain as WebSockets do.',
    `  http-response set-nice ${LONG_ANSWER_NICE} if { res.fhdr(content-type) -m beg -i text/event-stream application/grpc }`,
    ...healthCheck(app),
    ...(withServers ? app.servers.map((server) => serverLine(server, chroot)) : []),
  ];
}

/** Without a path HAProxy only connects. */
function healthCheck({ check, routes }: DesiredApp): string[] {
  if (check === null) return [];
  // Frameworks that serve known hosts only would refuse a check for another one.
  const host = routes.find((route) => !route.startsWith('*')) ?? 'localhost';
  return [
    '  option httpchk',
    `  http-check send meth GET uri ${quote(check.path)} ver HTTP/1.1 hdr Host ${host}`,
    `  http-check expect status ${check.status}`,
  ];
}

function serverLine(server: DesiredServer, chroot: string | undefined): string {
  const { name, address, state } = server;
  const place = /^(r\d+)(?:-[0-9a-z]+)*?-d(\d+)-(.+?)-(\d+)$/.exec(name);
  const comment =
    place === null ? '' : ` # ${place[1]}, deployment ${place[2]}, ${place[3]} ${place[4]}`;
  const leaving = state === 'leaving';
  const weight = leaving ? 0 : server.weight;
  return `  server ${name} ${addressText(address, chroot)} ${SERVER_OPTIONS} weight ${weight}${leaving ? ' disabled' : ''}${comment}`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

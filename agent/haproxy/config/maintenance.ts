import type { DesiredApp } from '../desired.ts';

/** What is said to visitors when nobody said otherwise; in the region of every app. */
export const MAINTENANCE_DEFAULTS = { allow: [], page: null, retryAfterS: 300 } as const;

const PLAIN_PAGE = [
  '<!doctype html><html lang="en"><meta charset="utf-8">',
  '<meta name="viewport" content="width=device-width,initial-scale=1">',
  '<title>Down for maintenance</title><style>:root{color-scheme:light dark}',
  'body{margin:0;min-height:100vh;display:grid;place-items:center;font:17px/1.6 system-ui,sans-serif}',
  'main{max-width:34rem;padding:2rem}h1{font-size:1.9rem;line-height:1.2;margin:0 0 .6rem}</style>',
  '<main><h1>Down for maintenance</h1><p>This will be back soon. Please try again in a few minutes.</p>',
  '</main></html>',
].join('');

/**
 * Where the running HAProxy keeps whether an app is in maintenance: the weight of a server that no
 * request is ever sent to. A weight is changed at runtime without a word in HAProxy's log, and the
 * file says it like any other weight, so that a reload, a restart or a reboot comes back right.
 */
export function maintenanceServer(app: string): { backend: string; server: string } {
  // An app's name has no `_`: no app can have this backend.
  return { backend: `zdd_${app}_maintenance`, server: 'on' };
}

/** The rule in the backend of an app: it holds for an admin's own frontends as well. */
export function maintenanceRule({ app, maintenance }: DesiredApp): string[] {
  const { backend, server } = maintenanceServer(app);
  const { allow, page, retryAfterS } = maintenance ?? MAINTENANCE_DEFAULTS;
  const others = allow.length === 0 ? '' : ` !{ src ${[...allow].sort().join(' ')} }`;
  const condition = `if { srv_uweight(${backend}/${server}) gt 0 }${others}`;
  return [
    '  # zdd-agent maintenance on: below, its server has weight 1.',
    '  # Counted, so that who is turned away is not taken for a request that was lost.',
    `  http-request track-sc2 int(1) table ${backend} ${condition}`,
    `  http-request return status 503 content-type "text/html; charset=utf-8" hdr Retry-After ${retryAfterS} hdr Cache-Control no-store string ${page === null ? plainPage : quoteText(page)} ${condition}`,
  ];
}

/** The section that holds the flag. */
export function maintenanceFlag({ app, maintenance }: DesiredApp, withServers: boolean): string[] {
  const { backend, server } = maintenanceServer(app);
  const weight = Number(maintenance?.on ?? false);
  return [
    `backend ${backend}`,
    '  mode http',
    '  timeout connect 5s',
    '  timeout server 5s',
    '  stick-table type integer size 16 store http_req_cnt',
    ...(withServers ? [`  server ${server} 127.0.0.1:9 weight ${weight}`] : []),
  ];
}

/** The same for every app that says nothing else: quoted once. */
const plainPage = quoteText(PLAIN_PAGE);

/**
 * Any text as one word of one line: what would end the line or the quotes, or begin a variable, is
 * escaped. Our own name is too, or the text could look like a marker of the managed region.
 */
export function quoteText(text: string): string {
  const escaped = text
    .replace(/[\\"$]/g, '\\$&')
    .replace(/zdd-agent/gi, (name) => name.replace('-', '\\x2d'))
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replace(/\p{Cc}/gu, (control) => {
      const code = control.charCodeAt(0);
      return code < 0x80 ? `\\x${code.toString(16).padStart(2, '0')}` : control;
    });
  return `"${escaped}"`;
}

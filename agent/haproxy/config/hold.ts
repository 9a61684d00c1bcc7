import type { DesiredApp } from '../desired.ts';
import { PLAIN } from './words.ts';

/** Where the script stands that lets requests wait: beside `haproxy.cfg`, as the maps do. */
export function holdScriptPath(folder: string): string {
  return `${folder}/zdd-hold.lua`;
}

/**
 * A request that meets no server is answered 503 at once, and one in HAProxy's queue fails when it
 * leaves it: only a script can let it wait and then go on as if it had just come. The more wait, the
 * more seldom each of them looks, so that they cost next to nothing.
 */
export const HOLD_SCRIPT = `-- Of zdd-agent, which writes it anew when it is changed. A request waits here while the instances of
-- an app that may not run twice change hands: until the flag is down, for limit ms at most.
local function now()
  local time = core.now()
  return time.sec + time.usec / 1000000
end

local function hold(txn, flag, limit)
  local deadline = now() + tonumber(limit) / 1000
  repeat
    local waiting = tonumber(txn.f:sc2_conn_cur()) or 0
    core.msleep(math.max(20, math.min(500, waiting // 10)))
  until txn.f:nbsrv(flag) < 2 or now() >= deadline
end

core.register_action("zdd_hold", { "http-req" }, hold, 2)
`;

/**
 * Where the running HAProxy keeps whether requests wait: the weight of a server that none is ever
 * sent to, as for maintenance. The other one has a weight always, or HAProxy would say each time
 * that its backend has no server.
 */
export function holdServer(app: string): { backend: string; server: string } {
  // An app's name has no `_`: no app can have this backend.
  return { backend: `zdd_${app}_hold`, server: 'on' };
}

/** The rules in the backend of an app that may not run twice. */
export function holdRule({ app, hold }: DesiredApp): string[] {
  if (hold === undefined) return [];
  const { backend } = holdServer(app);
  const held = `{ nbsrv(${backend}) gt 1 }`;
  const refuse = (text: string): string =>
    `  http-request return status 503 content-type "${PLAIN}" hdr Retry-After 5 hdr Cache-Control no-store string "${text}\\n" if ${held}`;
  return [
    '  # While old stops and new starts, requests wait: below, its server "on" has weight 1.',
    `  http-request track-sc2 int(1) table ${backend} if ${held}`,
    `${refuse('Too many requests wait for this app. Please try again.')} { sc2_conn_cur gt ${hold.requests} }`,
    `  http-request lua.zdd_hold ${backend} ${hold.withinMs} if ${held}`,
    refuse('This app is being started. Please try again.'),
  ];
}

/** The section that holds the flag; none for an app that may run twice. */
export function holdFlag({ app, hold }: DesiredApp, withServers: boolean): string[] {
  if (hold === undefined) return [];
  const { backend, server } = holdServer(app);
  return [
    `backend ${backend}`,
    '  mode http',
    '  timeout connect 5s',
    '  timeout server 5s',
    '  stick-table type integer size 16 store conn_cur,http_req_cnt',
    '  server always 127.0.0.1:9 weight 1',
    ...(withServers ? [`  server ${server} 127.0.0.1:9 weight ${Number(hold.on)}`] : []),
  ];
}

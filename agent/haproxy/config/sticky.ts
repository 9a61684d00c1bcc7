import type { DesiredApp } from '../desired.ts';
import { mapPath } from './maps.ts';
import { backendOf } from './names.ts';

/** The cookie that names the server which answered last. Each app has its own: they may share a host. */
export function stickyCookie(app: string): string {
  return `zdd_${app}`;
}

/**
 * A user stays with the server that answered him while the map has it; who comes with the name of any
 * other is given one that takes new requests, and its name with the answer. So no cookie leads nowhere
 * for longer than one answer.
 */
export function stickyRules({ app, sticky }: DesiredApp, folder: string): string[] {
  if (sticky === undefined) return [];
  const cookie = stickyCookie(app);
  const setCookie = (attributes: string, condition: string): string =>
    `  http-response add-header Set-Cookie "${cookie}=%[srv_name]; Path=/; HttpOnly; SameSite=Lax${attributes}" if !{ var(txn.zdd_by),strcmp(txn.zdd_at) eq 0 } !{ res.hdr(cache-control) -m sub -i public } ${condition}`;
  return [
    `  # Users stay with the server in their cookie while it stands in ${mapPath('', 'stays').slice(1)}.`,
    `  http-request set-var(txn.zdd_at) req.cook(${cookie})`,
    `  http-request set-var(txn.zdd_stay) str(${backendOf(app)}/),concat(,txn.zdd_at),map_str(${mapPath(folder, 'stays')})`,
    '  http-response set-var(txn.zdd_by) srv_name',
    setCookie('', '!{ ssl_fc }'),
    setCookie('; Secure', '{ ssl_fc }'),
  ];
}

/** Sends a user to his server; after the choice by share, which goes first. */
export function stickyChoice({ sticky }: DesiredApp): string[] {
  if (sticky === undefined) return [];
  return ['  use-server %[var(txn.zdd_at)] if { var(txn.zdd_stay) -m found }'];
}

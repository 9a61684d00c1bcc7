import { bindsOf } from './bindable.ts';

/** Where this machine itself reaches HAProxy's frontend, in plain HTTP. */
export interface Entrance {
  readonly host: string;
  readonly port: number;
}

/**
 * The first of the frontend's binds that speaks plain HTTP over TCP; null when none does: the admin
 * has a frontend of his own, or it is TLS, a socket or a range.
 * @param binds as in `agent.yaml`
 */
export function entranceOf(binds: readonly string[]): Entrance | null {
  for (const bind of binds) {
    if (/\s(ssl|accept-proxy)(\s|$)/.test(bind)) continue;
    const [found] = bindsOf(`bind ${bind}`);
    if (found === undefined) continue;
    const everywhere = found.host === '' || found.host === '0.0.0.0';
    const host = everywhere ? '127.0.0.1' : found.host === '::' ? '::1' : found.host;
    return { host, port: found.port };
  }
  return null;
}

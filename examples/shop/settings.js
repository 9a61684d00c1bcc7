import { readFileSync } from 'node:fs';

const env = process.env;

/**
 * How this release behaves. The releases of the demo differ by this file only:
 *   version            name for people
 *   health             "never": /healthz answers 503
 *   unhealthyAfterMs   /healthz answers 503 from then on
 *   failAfterRequests  after so many requests, a `share` (default 1) of answers is `status`
 *                      (default 500), while /healthz stays ok
 *   failMethod         only requests of this method fail so
 *   hangAfterRequests  after so many requests no answer comes any more, while /healthz stays ok
 *   delayMs            every answer comes so much later
 *   crashAfterMs       the process dies with an exception
 *   slowStartMs        the process listens only after this
 */
export const behaviour = JSON.parse(
  readFileSync(new URL('./behaviour.json', import.meta.url), 'utf8'),
);

/** The id zdd-agent gave this release, or the version when something else runs the app. */
export const release = env.ZDD_RELEASE ?? behaviour.version;

export const instance = env.ZDD_SLOT ?? `pid-${process.pid}`;

/** A folder that all releases and instances share, to prove that nothing is done twice. */
export const ledgerFolder = env.ZDD_SHOP_LEDGER;

/** Where to listen: an inherited socket, a unix socket, or a port of this machine. */
export function whereToListen() {
  const inherited = Number(env.LISTEN_FDS ?? 0) > 0;
  const meant = env.LISTEN_PID === undefined || Number(env.LISTEN_PID) === process.pid;
  if (inherited && meant) return { fd: 3 };
  if (env.SOCKET) return { path: env.SOCKET };
  return { host: env.HOST ?? '127.0.0.1', port: Number(env.PORT ?? 3000) };
}

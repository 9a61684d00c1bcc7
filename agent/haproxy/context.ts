import { type Rendered, renderRegion } from './config/render.ts';
import type { ResolvedOptions } from './options.ts';
import type { DesiredProxy } from './proxy.ts';
import type { Endpoint } from './runtime.ts';
import type { StreamsCache } from './streams-cache.ts';

/** What every part of the room that touches the running HAProxy needs. */
export interface Context {
  readonly options: ResolvedOptions;
  /** The current worker. */
  readonly admin: Endpoint;
  readonly master: Endpoint;
  readonly streams: StreamsCache;
  /** HAProxy's last words, for an error about a start or a reload; `''` when they are not ours. */
  readonly lastWords: () => Promise<string>;
}

/** The region as this room's options want it. */
export function renderWith(
  { bind, adminSocket, adminSocketInRegion, accessLogPlace }: ResolvedOptions,
  desired: DesiredProxy,
  chroot: string | undefined,
): Rendered {
  return renderRegion(desired, {
    bind: bind(),
    chroot,
    adminSocket: adminSocketInRegion ? adminSocket : undefined,
    accessLog: accessLogPlace(),
  });
}

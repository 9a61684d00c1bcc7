import { type Rendered, renderRegion } from './config/render.ts';
import type { ConfigFile } from './config-file.ts';
import type { DesiredProxy } from './desired.ts';
import type { Running } from './observe.ts';
import type { ResolvedOptions } from './options.ts';
import type { Endpoint } from './runtime.ts';
import type { StreamsCache } from './streams-cache.ts';
import type { Switching } from './switch-by.ts';

/** What every part of the room that touches the running HAProxy needs. */
export interface Context {
  readonly options: ResolvedOptions;
  /** The current worker. */
  readonly admin: Endpoint;
  readonly master: Endpoint;
  readonly streams: StreamsCache;
  readonly switching: Switching;
  /** What the last `apply` left behind by commands; undefined: it did not come to its end. */
  readonly known: { running: Running | undefined };
  /** HAProxy's last words, for an error about a start or a reload; `''` when they are not ours. */
  readonly lastWords: () => Promise<string>;
}

/** What was rendered last of a wish, and with which options. */
const rendered = new WeakMap<DesiredProxy, { readonly of: string; readonly region: Rendered }>();

/** The region as this room's options want it. Of one wish it is made once: it may be half a megabyte. */
export function renderWith(
  { bind, bindTls, http3, adminSocket, adminSocketInRegion, accessLogPlace }: ResolvedOptions,
  desired: DesiredProxy,
  file: Pick<ConfigFile, 'chroot' | 'folder'>,
): Rendered {
  const options = {
    bind: bind(),
    bindTls: bindTls(),
    http3: http3(),
    chroot: file.chroot,
    mapFolder: file.folder,
    adminSocket: adminSocketInRegion ? adminSocket : undefined,
    accessLog: accessLogPlace(),
  };
  const of = JSON.stringify(options);
  const known = rendered.get(desired);
  if (known?.of === of) return known.region;
  const region = renderRegion(desired, options);
  rendered.set(desired, { of, region });
  return region;
}

import { createHash } from 'node:crypto';
import type { LogPlace } from '../access-log/format.ts';
import type { DesiredApp, DesiredProxy, DesiredTls } from '../desired.ts';
import { userlist } from './access.ts';
import { backend, serverLine } from './backend.ts';
import { frontend, nobody } from './frontend.ts';
import { holdFlag, holdScriptPath } from './hold.ts';
import { logRing } from './log-ring.ts';
import { maintenanceFlag } from './maintenance.ts';
import { type RouteMaps, routeMaps } from './maps.ts';
import { shadowFlag, shadowRing } from './shadow.ts';
import { quicGlobal } from './tls.ts';

/** What the region says beside the apps. */
export interface RenderOptions {
  /** Where the frontend listens; empty: no frontend of ours, the admin's route to `zdd_<app>`. */
  readonly bind: readonly string[];
  /** Where it listens for TLS, once there is some. */
  readonly bindTls?: readonly string[] | undefined;
  /** HTTP/3 there as well, where HAProxy has QUIC. */
  readonly http3?: boolean | undefined;
  /** The admin socket, when the region opens it itself; undefined: the admin's part does. */
  readonly adminSocket?: string | undefined;
  /** `chroot` of the file's global section. */
  readonly chroot: string | undefined;
  /** The agent's reader of the access log; undefined: there is none. */
  readonly accessLog?: LogPlace | undefined;
  /** Folder of the map files: that of the file which holds the region. */
  readonly mapFolder: string;
}

/** The managed region, the maps it routes by, and the hash of what only a reload can change. */
export interface Rendered {
  /** Body of the region, each line ended. */
  readonly text: string;
  /** Equal for two regions that differ in nothing but servers: 16 hex digits. */
  readonly shape: string;
  /** undefined: the region routes and divides nothing. */
  readonly maps: RouteMaps | undefined;
  /** An app lets requests wait, by the script beside the file. */
  readonly holds: boolean;
  /** The certificates it shows; undefined: it takes no TLS, for want of it or of a frontend. */
  readonly tls: DesiredTls | undefined;
}

/** Names the running worker's shape: `show env ZDD_SHAPE`. */
export const SHAPE_VARIABLE = 'ZDD_SHAPE';

/** Renders the managed region. Pure: equal input, equal bytes. */
export function renderRegion(desired: DesiredProxy, options: RenderOptions): Rendered {
  const apps = [...desired.apps].sort((a, b) => (a.app < b.app ? -1 : a.app > b.app ? 1 : 0));
  const { bind, bindTls = [] } = options;
  const tls = bind.length > 0 && bindTls.length > 0 ? desired.tls : undefined;
  const texts = apps.map((app) => textOf(app, options));
  const shapeText = render(apps, texts, options, '', false, tls !== undefined);
  const shape = createHash('sha256').update(shapeText).digest('hex').slice(0, 16);
  const routes = bind.length > 0 && apps.length > 0;
  const splits = apps.some(({ split, sticky }) => split !== undefined || sticky !== undefined);
  return {
    text: render(apps, texts, options, shape, true, tls !== undefined),
    shape,
    maps: routes || splits ? routeMaps(desired, routes) : undefined,
    holds: holds(apps),
    tls,
  };
}

/** @param texts what is said of each of `apps` */
function render(
  apps: readonly DesiredApp[],
  texts: readonly AppText[],
  options: RenderOptions,
  shape: string,
  withServers: boolean,
  takesTls: boolean,
): string {
  const { bind, bindTls = [], http3 = false, mapFolder, accessLog } = options;
  const tls = takesTls ? { bind: bindTls, folder: mapFolder, http3 } : undefined;
  const noApps = apps.length === 0;
  const sections = [
    [
      'global',
      `  # Tells which region a running worker has loaded.`,
      `  setenv ZDD_SHAPE "${shape}"`,
      ...(holds(apps) ? [`  lua-load ${holdScriptPath(mapFolder)}`] : []),
      ...adminSocketLines(options),
      ...(takesTls && http3 ? quicGlobal() : []),
    ],
    ...(accessLog === undefined ? [] : [logRing(accessLog)]),
    ...[shadowRing(apps)].filter((lines) => lines.length > 0),
    ...(bind.length === 0
      ? []
      : [frontend(bind, noApps ? undefined : mapFolder, accessLog, tls), nobody(noApps)]),
    ...apps.map(userlist).filter((lines) => lines.length > 0),
  ];
  return [
    ...sections.map(sectionText),
    ...texts.map(({ whole, shape: bare }) => (withServers ? whole : bare)),
  ].join('\n');
}

function sectionText(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`;
}

/** What the region says of one app in the sections that are its own. */
interface AppText {
  readonly whole: string;
  /** Without what changes at runtime. */
  readonly shape: string;
}

/** More than the apps of a host. */
const KEPT_TEXTS = 2_000;
/** By app: what it was made of, and what was made of it. */
const made = new Map<string, { readonly of: string; readonly text: AppText }>();

/** Equal apps have equal texts, and of a host with many apps one changes at a time: so it is made once. */
function textOf(app: DesiredApp, { chroot, mapFolder }: RenderOptions): AppText {
  const of = JSON.stringify([app, chroot, mapFolder]);
  const known = made.get(app.app);
  if (known?.of === of) return known.text;
  const settings = backend(app, mapFolder);
  const text = {
    whole: appText(
      app,
      [...settings, ...app.servers.map((each) => serverLine(each, chroot))],
      true,
    ),
    shape: appText(app, settings, false),
  };
  if (made.size >= KEPT_TEXTS) made.clear();
  made.set(app.app, { of, text });
  return text;
}

function appText(app: DesiredApp, lines: readonly string[], withServers: boolean): string {
  const flags = [maintenanceFlag(app, withServers), holdFlag(app, withServers), shadowFlag(app)];
  return [lines, ...flags.filter((flag) => flag.length > 0)].map(sectionText).join('\n');
}

function holds(apps: readonly DesiredApp[]): boolean {
  return apps.some(({ hold }) => hold !== undefined);
}

/** Sockets of several `global` sections add up: the admin's own stay. */
function adminSocketLines({ adminSocket: path }: RenderOptions): string[] {
  if (path === undefined) return [];
  return [
    '  # The agent is no root: this one is for its group.',
    `  stats socket ${path} mode 660 group haproxy level admin expose-fd listeners`,
  ];
}

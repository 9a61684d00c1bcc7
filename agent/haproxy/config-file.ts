import { dirname } from 'node:path';
import { readConfig, targetOf, writeBeside } from './config/file.ts';
import { HOLD_SCRIPT, holdScriptPath } from './config/hold.ts';
import { MAP_NAMES, type MapName, mapPath, mapText, type RouteMaps } from './config/maps.ts';
import { chrootOf, type WrittenServers, writtenServers } from './config/read.ts';
import { readOrRecall } from './config/recall.ts';
import { type Cut, findRegion } from './config/region.ts';
import type { ResolvedOptions } from './options.ts';

/** `haproxy.cfg` and the map files beside it, as they stand. */
export interface ConfigFile {
  /** What it says, or, recalled, what it said before it was deleted or emptied. */
  readonly text: string;
  /** What really stands there; undefined: there is none. */
  readonly stands: string | undefined;
  /** Where it really stands, behind links: the maps stand there too. */
  readonly folder: string;
  readonly cut: Cut | undefined;
  readonly chroot: string | undefined;
  readonly written: WrittenServers;
  /** Texts of the map files; undefined: there is none. */
  readonly maps: MapTexts;
  /** Whether the script that lets requests wait stands beside it as it should. */
  readonly hasHoldScript: boolean;
}

export type MapTexts = Readonly<Record<MapName, string | undefined>>;

/**
 * As it stands, to look at it.
 * @throws ZDD_HAPROXY_REGION_BROKEN, ZDD_HAPROXY_CONFIG_INVALID when one may not be read
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const stands = await readConfig(path);
  return contentOf(path, stands ?? '', stands);
}

/**
 * To write it anew: one that is gone or emptied is recalled.
 * @throws ZDD_HAPROXY_REGION_BROKEN, ZDD_HAPROXY_CONFIG_INVALID when one may not be read, or when
 *   there is no file and no copy of it
 */
export async function recallConfigFile(options: ResolvedOptions): Promise<ConfigFile> {
  const { text, stands } = await readOrRecall(options);
  return contentOf(options.configPath, text, stands);
}

async function contentOf(
  path: string,
  text: string,
  stands: string | undefined,
): Promise<ConfigFile> {
  const folder = dirname(await targetOf(path));
  const cut = findRegion(text);
  let written: WrittenServers | undefined;
  return {
    text,
    stands,
    folder,
    cut,
    chroot: chrootOf(cut === undefined ? text : cut.before + cut.after),
    // Only asked for when HAProxy has been looked at, while the next text is being checked.
    get written() {
      written ??= writtenServers(cut?.region ?? '');
      return written;
    },
    maps: await readMaps(folder),
    hasHoldScript: (await readConfig(holdScriptPath(folder))) === HOLD_SCRIPT,
  };
}

/** Puts the script in place that lets requests wait. @returns whether it was not as it should be */
export async function writeHoldScript(config: string, file: ConfigFile): Promise<boolean> {
  if (file.hasHoldScript) return false;
  await writeBeside(config, holdScriptPath(file.folder), HOLD_SCRIPT);
  return true;
}

/** The map files of a folder. @throws ZDD_HAPROXY_CONFIG_INVALID when one may not be read */
export async function readMaps(folder: string): Promise<MapTexts> {
  const [hosts, wildcards, shares, stays] = await Promise.all(
    MAP_NAMES.map((name) => readConfig(mapPath(folder, name))),
  );
  return { hosts, wildcards, shares, stays };
}

/**
 * Makes the map files beside `haproxy.cfg` say `maps`.
 * @returns whether one of them had said something else
 * @throws ZDD_HAPROXY_CONFIG_INVALID when they may not be written
 */
export async function writeMaps(config: string, maps: RouteMaps): Promise<boolean> {
  const folder = dirname(await targetOf(config));
  let changed = false;
  for (const name of MAP_NAMES) {
    const path = mapPath(folder, name);
    const text = mapText(name, maps[name]);
    if ((await readConfig(path)) === text) continue;
    await writeBeside(config, path, text);
    changed = true;
  }
  return changed;
}

/** Whether the map files say `maps`. */
export function mapsSay(texts: MapTexts, maps: RouteMaps): boolean {
  return MAP_NAMES.every((name) => texts[name] === mapText(name, maps[name]));
}

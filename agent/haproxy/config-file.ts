import { dirname } from 'node:path';
import { readConfig, targetOf, writeBeside } from './config/file.ts';
import { MAP_NAMES, type MapName, mapPath, mapText, type RouteMaps } from './config/maps.ts';
import { chrootOf, type WrittenServers, writtenServers } from './config/read.ts';
import { type Cut, findRegion } from './config/region.ts';

/** `haproxy.cfg` and the map files beside it, as they stand. */
export interface ConfigFile {
  /** undefined: there is none. */
  readonly text: string | undefined;
  /** Where it really stands, behind links: the maps stand there too. */
  readonly folder: string;
  readonly cut: Cut | undefined;
  readonly chroot: string | undefined;
  readonly written: WrittenServers;
  /** Texts of the map files; undefined: there is none. */
  readonly maps: MapTexts;
}

export type MapTexts = Readonly<Record<MapName, string | undefined>>;

/** @throws ZDD_HAPROXY_REGION_BROKEN, ZDD_HAPROXY_CONFIG_INVALID when one may not be read */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const folder = dirname(await targetOf(path));
  const text = await readConfig(path);
  const cut = findRegion(text ?? '');
  return {
    text,
    folder,
    cut,
    chroot: chrootOf(cut === undefined ? (text ?? '') : cut.before + cut.after),
    written: writtenServers(cut?.region ?? ''),
    maps: await readMaps(folder),
  };
}

/** The map files of a folder. @throws ZDD_HAPROXY_CONFIG_INVALID when one may not be read */
export async function readMaps(folder: string): Promise<MapTexts> {
  const [hosts, wildcards] = await Promise.all(
    MAP_NAMES.map((name) => readConfig(mapPath(folder, name))),
  );
  return { hosts, wildcards };
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

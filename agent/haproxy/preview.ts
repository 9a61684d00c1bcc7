import { MAP_NAMES, mapText, type RouteMaps } from './config/maps.ts';
import { readConfigFile } from './config-file.ts';
import { type Context, renderWith } from './context.ts';
import type { DesiredProxy } from './desired.ts';
import type { RegionPreview } from './proxy.ts';

/** See `Haproxy.preview`. The maps, in which the routes stand, come after the region. */
export async function previewRegion(
  context: Context,
  desired: DesiredProxy,
): Promise<RegionPreview> {
  const path = context.options.configPath;
  const file = await readConfigFile(path);
  const { text, maps } = renderWith(context.options, desired, file);
  // Without the marker lines.
  const region = (file.cut?.region.split('\n').slice(1, -1) ?? []).map((line) => `${line}\n`);
  return {
    path,
    before: `${region.join('')}${MAP_NAMES.map((name) => file.maps[name] ?? '').join('')}`,
    after: `${text}${maps === undefined ? '' : mapsText(maps)}`,
  };
}

function mapsText(maps: RouteMaps): string {
  return MAP_NAMES.map((name) => mapText(name, maps[name])).join('');
}

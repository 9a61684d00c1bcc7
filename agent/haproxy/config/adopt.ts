import { dirname } from 'node:path';
import { ZddError } from '../../protocol/errors.ts';
import { readConfig } from './file.ts';
import { chrootOf } from './read.ts';
import { findRegion, replaceRegion } from './region.ts';
import { type RenderOptions, renderRegion } from './render.ts';

/**
 * The text of a `haproxy.cfg` that the agent may take over: with the managed region, still without
 * apps, at its end. A file that has a region already is returned as it is. Writes nothing.
 * @throws ZDD_HAPROXY_CONFIG_INVALID when there is no such file, ZDD_HAPROXY_REGION_BROKEN
 */
export async function renderAdopted(
  path: string,
  options: Omit<RenderOptions, 'chroot' | 'mapFolder'>,
): Promise<string> {
  const text = await readConfig(path);
  if (text === undefined) {
    throw new ZddError('ZDD_HAPROXY_CONFIG_INVALID', `there is no ${path}`, {
      tries: [`ls -l ${path}`],
    });
  }
  if (findRegion(text) !== undefined) return text;
  const { text: region } = renderRegion(
    { apps: [] },
    { ...options, chroot: chrootOf(text), mapFolder: dirname(path) },
  );
  return replaceRegion(text, region);
}

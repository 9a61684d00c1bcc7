import { readConfig } from './config/file.ts';
import { chrootOf } from './config/read.ts';
import { findRegion } from './config/region.ts';
import { type Context, renderWith } from './context.ts';
import type { DesiredProxy, RegionPreview } from './proxy.ts';

/** See `Haproxy.preview`. */
export async function previewRegion(
  context: Context,
  desired: DesiredProxy,
): Promise<RegionPreview> {
  const path = context.options.configPath;
  const text = (await readConfig(path)) ?? '';
  const cut = findRegion(text);
  const chroot = chrootOf(cut === undefined ? text : cut.before + cut.after);
  return {
    path,
    // Without the marker lines.
    before: (cut?.region.split('\n').slice(1, -1) ?? []).map((line) => `${line}\n`).join(''),
    after: renderWith(context.options, desired, chroot).text,
  };
}

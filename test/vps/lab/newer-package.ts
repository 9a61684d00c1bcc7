import type { VpsHost } from './host.ts';

/** Version of the package that `newerPackage` makes. */
export const NEWER_VERSION = '99.0.0';

/** Copies the release package over and makes a later version of it, checksums included. */
export async function newerPackage(host: VpsHost): Promise<string> {
  const folder = await host.unpackPackage();
  await host.must(`cd ${folder} && old=$(cat VERSION) &&
    sed -i "s/^$old\\$/${NEWER_VERSION}/" VERSION usr/lib/zdd-agent/VERSION &&
    sed -i "s/\\"$old\\"/\\"${NEWER_VERSION}\\"/g" usr/lib/zdd-agent/lib/*.mjs &&
    awk '{print $2}' SHA256SUMS | xargs sha256sum > SUMS && mv SUMS SHA256SUMS`);
  return folder;
}

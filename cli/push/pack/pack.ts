import { constants, zstdCompressSync } from 'node:zlib';
import { MANIFEST_NAME, outlineOf, type ReleaseEntry } from '../../../agent/protocol/manifest.ts';
import { digestOf } from '../send/upload.ts';
import { CONFIG_FILE } from '../source/config.ts';
import { readIgnored } from '../source/ignored.ts';
import { scanFolder } from '../source/scan.ts';
import { bytesOf, digestOfTree, filesOf, folderTree, type Tree } from '../source/tree.ts';
import { Blocks } from './blocks.ts';
import { gzipped, USUAL_LEVEL, zstdFrames } from './compress.ts';
import { Spool } from './spool.ts';
import { tarEnd, tarEntries, tarFile } from './tar.ts';

const LEVEL = constants.ZSTD_c_compressionLevel;

/** An archive in a temporary file of its own. */
export interface Packed {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Files within, and what they have together, bytes. */
  readonly files: number;
  readonly contentBytes: number;
  /** Deletes the temporary file. */
  remove(): Promise<void>;
}

/** Packs a folder; see `packTree`. @throws as `scanFolder` and `packTree` */
export async function packFolder(folder: string, signal: AbortSignal): Promise<Packed> {
  const entries = await scanFolder(folder, await readIgnored(folder), signal);
  return await packTree(folderTree(folder, entries), signal);
}

/**
 * Packs a whole tree as tar.gz, which every agent reads.
 * @throws ZDD_ARTIFACT_UNSAFE when it changes meanwhile, ZDD_DISK_FULL (here), the reason of `signal`
 */
export async function packTree(tree: Tree, signal: AbortSignal): Promise<Packed> {
  const spool = await Spool.open('artifact.tar.gz', { inMemory: 0 });
  const remove = () => spool.remove();
  try {
    await spool.fill(gzipped(gathered(tree, tree.entries)), signal);
    const { path, bytes } = spool;
    const sha256 = await digestOf(path, signal);
    const files = filesOf(tree);
    return { path, bytes, sha256, files: files.length, contentBytes: bytesOf(files), remove };
  } catch (cause) {
    await remove();
    throw cause;
  }
}

/** The beginning of a release that travels in part: what it consists of, packed. */
export function packOutline(tree: Pick<Tree, 'entries'>): Buffer {
  const outline = outlineOf({ digest: digestOfTree(tree), entries: tree.entries });
  return zstdCompressSync(tarFile(MANIFEST_NAME, outline), { params: { [LEVEL]: 9 } });
}

/** These of a tree, packed, and the end of the archive; `zdd.yaml` before all others. */
export function packEntries(
  tree: Tree,
  entries: readonly ReleaseEntry[],
): AsyncGenerator<Buffer, void> {
  return zstdFrames(gathered(tree, entries.toSorted(configFirst)), () => USUAL_LEVEL);
}

function configFirst(a: ReleaseEntry, b: ReleaseEntry): number {
  return Number(b.path === CONFIG_FILE) - Number(a.path === CONFIG_FILE);
}

function gathered(tree: Tree, entries: readonly ReleaseEntry[]): Blocks {
  const blocks = new Blocks();
  gather(blocks, tree, entries).catch((cause) => blocks.fail(cause));
  return blocks;
}

async function gather(blocks: Blocks, tree: Tree, entries: readonly ReleaseEntry[]): Promise<void> {
  for await (const piece of tarEntries(tree, entries)) await blocks.add(piece);
  await blocks.add(tarEnd());
  blocks.end();
}

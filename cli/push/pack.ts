import {
  constants,
  createGzip,
  createZstdCompress,
  type Gzip,
  type ZstdCompress,
  zstdCompressSync,
} from 'node:zlib';
import { MANIFEST_NAME, outlineOf, type ReleaseFile } from '../../agent/protocol/manifest.ts';
import { CONFIG_FILE } from './config.ts';
import { readIgnored } from './ignored.ts';
import { GATHERED, Packer } from './packer.ts';
import { scanFolder } from './scan.ts';
import { Spool } from './spool.ts';
import { tarEnd, tarEntries, tarFile } from './tar.ts';
import { bytesOf, digestOfTree, filesOf, folderTree, type Tree } from './tree.ts';
import { digestOf } from './upload.ts';

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
  const spool = await Spool.open('artifact.tar.gz');
  const remove = () => spool.remove();
  try {
    await spool.fill(packed(tree, createGzip({ chunkSize: GATHERED })), signal);
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
export function packOutline(tree: Tree): Buffer {
  const outline = outlineOf({ digest: digestOfTree(tree), entries: tree.entries });
  return zstdCompressSync(tarFile(MANIFEST_NAME, outline), { params: { [LEVEL]: 9 } });
}

/** What follows its outline: these files, packed, `zdd.yaml` before all others. */
export function packFiles(tree: Tree, files: readonly ReleaseFile[]): AsyncIterable<Buffer> {
  return packed({ ...tree, entries: files.toSorted(configFirst) }, zstd());
}

/** The coder of what travels in part. */
export function zstd(): ZstdCompress {
  return createZstdCompress({ chunkSize: GATHERED, params: { [LEVEL]: 3 } });
}

function configFirst(a: ReleaseFile, b: ReleaseFile): number {
  return Number(b.path === CONFIG_FILE) - Number(a.path === CONFIG_FILE);
}

async function* packed(tree: Tree, coder: Gzip | ZstdCompress): AsyncGenerator<Buffer> {
  // Whoever reads the coder gets every error.
  gather(tree, new Packer(coder)).catch((cause) => coder.destroy(cause));
  yield* coder;
}

async function gather(tree: Tree, packer: Packer): Promise<void> {
  for await (const piece of tarEntries(tree, tree.entries)) await packer.add(piece);
  await packer.add(tarEnd());
  await packer.end();
}

import { pipeline } from 'node:stream/promises';
import { constants, createGzip, createZstdCompress, zstdCompressSync } from 'node:zlib';
import { MANIFEST_NAME, outlineOf, type ReleaseFile } from '../../agent/protocol/manifest.ts';
import { CONFIG_FILE } from './config.ts';
import { readIgnored } from './ignored.ts';
import { scanFolder } from './scan.ts';
import { Spool } from './spool.ts';
import { tarEnd, tarEntries, tarFile } from './tar.ts';
import { bytesOf, digestOfTree, filesOf, folderTree, type Tree } from './tree.ts';

/** What is compressed at once, bytes: a call for each small file would take longer than the work. */
const GATHERED = 512 * 1024;
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
    await spool.fill(through(tarOf(tree), createGzip({ chunkSize: GATHERED })), signal);
    const { path, bytes, sha256 } = spool;
    const files = filesOf(tree);
    return { path, bytes, sha256, files: files.length, contentBytes: bytesOf(files), remove };
  } catch (cause) {
    await remove();
    throw cause;
  }
}

/** The beginning of a release that travels in part: what it consists of, packed. */
export async function* packOutline(tree: Tree): AsyncGenerator<Buffer> {
  const outline = outlineOf({ digest: digestOfTree(tree), entries: tree.entries });
  yield zstdCompressSync(tarFile(MANIFEST_NAME, outline), { params: { [LEVEL]: 9 } });
}

/** What follows its outline: these files, packed, `zdd.yaml` before all others. */
export function packFiles(tree: Tree, files: readonly ReleaseFile[]): AsyncIterable<Buffer> {
  const chunks = tarOf({ ...tree, entries: files.toSorted(configFirst) });
  return through(chunks, createZstdCompress({ chunkSize: GATHERED, params: { [LEVEL]: 3 } }));
}

function configFirst(a: ReleaseFile, b: ReleaseFile): number {
  return Number(b.path === CONFIG_FILE) - Number(a.path === CONFIG_FILE);
}

async function* tarOf(tree: Tree): AsyncGenerator<Buffer> {
  let gathered: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of tarEntries(tree, tree.entries)) {
    gathered.push(chunk);
    bytes += chunk.length;
    if (bytes < GATHERED) continue;
    yield Buffer.concat(gathered);
    gathered = [];
    bytes = 0;
  }
  yield Buffer.concat([...gathered, tarEnd()]);
}

async function* through(
  chunks: AsyncIterable<Buffer>,
  coder: ReturnType<typeof createGzip> | ReturnType<typeof createZstdCompress>,
): AsyncGenerator<Buffer> {
  // Whoever reads the coder gets every error; this only keeps it from being reported twice.
  pipeline(chunks, coder).catch(() => undefined);
  yield* coder;
}

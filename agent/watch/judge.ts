import { createHash } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { ZddError } from '../protocol/errors.ts';
import { requireWhole } from '../store/artifact/artifacts.ts';
import { errnoOf } from '../store/atomic-file.ts';

const ARCHIVE = /\.(tar|tgz|tzst|txz|tar\.(gz|zst|xz))$/;
const TRIES = ['zdd-agent push'] as const;

/** What a file in the drop folder is. */
export type Judgement =
  | { readonly kind: 'gone' }
  | { readonly kind: 'ready'; readonly stats: Stats }
  /** It may still be on its way. `error` is what to say when nothing more comes. */
  | { readonly kind: 'unfinished'; readonly stats: Stats; readonly error: ZddError }
  | { readonly kind: 'refused'; readonly stats: Stats; readonly error: ZddError };

/** Names that nobody wants deployed: temporary files of rsync, scp clients and editors. */
export function isTemporary(name: string): boolean {
  return name.startsWith('.') || /(\.part|\.filepart|\.tmp|\.swp|~)$/.test(name);
}

/** `release.tgz` of `release.tgz.sha256`; undefined for any other name. */
export function digestOf(name: string): string | undefined {
  return name.endsWith('.sha256') ? name.slice(0, -'.sha256'.length) : undefined;
}

/**
 * Looks at what was put into the drop folder. Complete is what its `.sha256` says; without one, an
 * archive that can be read to its end.
 * @param maxBytes of an artifact
 */
export async function judge(
  path: string,
  name: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Judgement> {
  const stats = await lstat(path).catch(() => null);
  if (stats === null) return { kind: 'gone' };
  const refused = (message: string, ...evidence: [string, string][]): Judgement => ({
    kind: 'refused',
    stats,
    error: new ZddError('ZDD_DROP_REFUSED', message, { evidence, tries: TRIES }),
  });
  if (stats.isSymbolicLink()) return refused('it is a link: put the file itself here');
  if (stats.isDirectory()) return refused('it is a folder: pack it, or use zdd-agent push');
  if (!stats.isFile()) return refused('it is no file');
  if (!ARCHIVE.test(name)) {
    return refused('its name is not that of an archive', [
      'expected',
      'NAME.tar, .tar.gz, .tgz, .tar.zst or .tar.xz',
    ]);
  }
  if (stats.size > maxBytes) {
    const error = new ZddError('ZDD_ARTIFACT_TOO_LARGE', 'the artifact exceeds a limit', {
      evidence: [['bytes', `${stats.size}, the limit is ${maxBytes}`]],
    });
    return { kind: 'refused', stats, error };
  }
  try {
    await requireComplete(path, signal);
    return { kind: 'ready', stats };
  } catch (error) {
    signal.throwIfAborted();
    if (errnoOf(error) === 'ENOENT') return { kind: 'gone' };
    if (errnoOf(error) === 'EACCES') {
      return refused('the agent may not read it', ['try', `chmod g+r ${name}, then put it again`]);
    }
    if (!(error instanceof ZddError)) throw error;
    return { kind: isCut(error, stats) ? 'unfinished' : 'refused', stats, error };
  }
}

/** Errors that more bytes could mend. */
function isCut({ code }: ZddError, { size }: Stats): boolean {
  if (code === 'ZDD_ARTIFACT_UNKNOWN_FORMAT') return size < 512;
  return ['ZDD_ARTIFACT_CORRUPT', 'ZDD_ARTIFACT_DIGEST', 'ZDD_ARTIFACT_EMPTY'].includes(code);
}

/** @throws ZDD_ARTIFACT_* */
async function requireComplete(path: string, signal: AbortSignal): Promise<void> {
  await using file = await openPlain(path);
  const announced = await readDigest(`${path}.sha256`);
  if (announced === null) return await requireWhole(path, signal);
  const hash = createHash('sha256');
  await pipeline(file.createReadStream({ autoClose: false }), hash, { signal });
  const found = hash.digest('hex');
  if (found === announced) return;
  throw new ZddError('ZDD_ARTIFACT_DIGEST', 'the file is not what its .sha256 says', {
    evidence: [
      ['announced', announced],
      ['found', found],
    ],
    tries: ['sha256sum FILE > FILE.sha256'],
  });
}

/** Opens a file that lies where others may put links and pipes: neither is followed or waited for. */
export async function openPlain(path: string): Promise<FileHandle> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new ZddError('ZDD_DROP_REFUSED', 'it is no file', { tries: TRIES });
}

/** As `sha256sum` writes it; null when there is none. @throws ZDD_ARTIFACT_DIGEST */
async function readDigest(path: string): Promise<string | null> {
  const file = await openPlain(path).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  });
  if (file === null) return null;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(512), 0, 512, 0);
    const digest = /^\\?([0-9a-fA-F]{64})\b/.exec(buffer.toString('utf8', 0, bytesRead))?.[1];
    if (digest !== undefined) return digest.toLowerCase();
    throw new ZddError('ZDD_ARTIFACT_DIGEST', 'its .sha256 has no digest in it', {
      tries: ['sha256sum FILE > FILE.sha256'],
    });
  } finally {
    await file.close();
  }
}

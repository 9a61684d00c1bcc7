import { ZddError } from '../../protocol/errors.ts';
import { MANIFEST_NAME } from '../../protocol/manifest.ts';
import { errnoOf } from '../atomic-file.ts';

const TRIES = ['zdd-agent push'];

/** The bytes stop too early, or are not what their own checksums say. */
export function corrupt(why: string, cause?: unknown): ZddError {
  return new ZddError('ZDD_ARTIFACT_CORRUPT', 'the archive is cut short or damaged', {
    evidence: [['archive', why]],
    tries: TRIES,
    cause,
  });
}

/** Not an archive that the agent reads. */
export function unknownFormat(why: string, cause?: unknown): ZddError {
  return new ZddError(
    'ZDD_ARTIFACT_UNKNOWN_FORMAT',
    'the artifact is not a tar, tar.gz, tar.zst or tar.xz',
    {
      evidence: [['artifact', why]],
      tries: ['tar czf release.tgz . && zdd-agent push release.tgz'],
      cause,
    },
  );
}

/** @param announced sha256, hex  @param received of the bytes that came, hex */
export function notAnnounced(announced: string, received: string): ZddError {
  return new ZddError('ZDD_ARTIFACT_DIGEST', 'the bytes received are not those announced', {
    evidence: [
      ['announced', announced],
      ['received', received],
    ],
    tries: TRIES,
  });
}

/** A content that was counted on is not what it was when it was unpacked. */
export function changedOnHost(path: string): ZddError {
  return new ZddError(
    'ZDD_ARTIFACT_DIGEST',
    'a file of an earlier release was changed on the host',
    {
      evidence: [['file', path]],
      tries: ['zdd-agent push --whole'],
    },
  );
}

/** An archive without a single file. */
export function empty(why: string): ZddError {
  return new ZddError('ZDD_ARTIFACT_EMPTY', 'the archive has no files', {
    evidence: [['archive', why]],
    tries: TRIES,
  });
}

/** An entry that may not be unpacked. */
export function unsafe(entry: string, why: string): ZddError {
  return new ZddError('ZDD_ARTIFACT_UNSAFE', 'an entry of the archive may not be unpacked', {
    evidence: [['entry', `${shown(entry)}: ${why}`]],
    tries: TRIES,
  });
}

/** A file of the name by which the agent keeps what a release consists of. */
export function reserved(): ZddError {
  return unsafe(MANIFEST_NAME, 'the agent keeps its own file of this name');
}

/** The artifact exceeds a limit; `entry` names the one that did, if it was one. */
export function tooLarge(why: string, entry?: string): ZddError {
  return new ZddError('ZDD_ARTIFACT_TOO_LARGE', 'the artifact exceeds a limit of this host', {
    evidence: [entry === undefined ? ['artifact', why] : ['entry', `${shown(entry)}: ${why}`]],
    tries: TRIES,
  });
}

/** Not enough free space, found before or while writing. */
export function diskFull(dir: string, why: string, cause?: unknown): ZddError {
  return new ZddError('ZDD_DISK_FULL', 'not enough free space on the host', {
    evidence: [['disk', why]],
    tries: [`df -h ${dir}`, ...TRIES],
    cause,
  });
}

/** Turns "no space", "no inodes" and "over quota" into ZDD_DISK_FULL; leaves the rest as it is. */
export function diskFullOr(error: unknown, dir: string): unknown {
  const errno = errnoOf(error);
  if (errno !== 'ENOSPC' && errno !== 'EDQUOT') return error;
  return diskFull(dir, `${errno} while writing to ${dir}`, error);
}

/** Sizes in messages: `38.1 MiB`. */
export function sizeText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** A name out of an archive may hold anything, terminal escapes too. */
function shown(name: string): string {
  const quoted = JSON.stringify(name.length > 160 ? `${name.slice(0, 160)}…` : name);
  return quoted.replace(
    /[\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

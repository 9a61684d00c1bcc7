import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { ZddError } from '../../../agent/protocol/errors.ts';

/** What `push` was pointed at. A ready archive is sent as it is; a folder or a commit is packed. */
export type Source =
  | { readonly kind: 'git'; readonly revision: string; readonly typed: string }
  | { readonly kind: 'folder'; readonly path: string; readonly typed: string }
  | {
      readonly kind: 'archive';
      readonly path: string;
      readonly typed: string;
      readonly bytes: number;
    };

const GIT = 'git:';

/** @throws ZDD_USAGE when it is neither a file nor a folder, ZDD_ARTIFACT_EMPTY */
export async function findSource(typed: string, cwd: string): Promise<Source> {
  if (typed.startsWith(GIT)) return { kind: 'git', revision: typed.slice(GIT.length), typed };
  const path = resolve(cwd, typed);
  let found: Stats;
  try {
    found = await stat(path);
  } catch (cause) {
    throw new ZddError('ZDD_USAGE', `there is nothing to push at ${typed}`, {
      evidence: [['path', `${path}: ${reasonOf(cause)}`]],
      tries: ['zdd-agent push --help'],
      cause,
    });
  }
  if (found.isDirectory()) return { kind: 'folder', path, typed };
  if (!found.isFile()) {
    throw new ZddError('ZDD_USAGE', `${typed} is neither a folder nor a file`, {
      tries: ['zdd-agent push --help'],
    });
  }
  if (found.size === 0) {
    throw new ZddError('ZDD_ARTIFACT_EMPTY', `${typed} is an empty file`, {
      tries: [`ls -l ${typed}`],
    });
  }
  return { kind: 'archive', path, typed, bytes: found.size };
}

/** The system's reason, without the call and the path that Node puts around it. */
export function reasonOf(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  switch (code) {
    case 'ENOENT':
      return 'no such file or folder';
    case 'EACCES':
    case 'EPERM':
      return 'no permission to read it';
    case 'ELOOP':
      return 'its symbolic links lead in a circle';
    default:
      return cause instanceof Error ? cause.message : String(cause);
  }
}

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import ignore from 'ignore';
import { ZddError } from '../../../agent/protocol/errors.ts';
import { CONFIG_FILE } from './config.ts';
import { reasonOf } from './source.ts';

export const IGNORE_FILE = '.zddignore';

/** @param path relative to the folder, with `/`; @param isFolder rules may speak of folders only */
export type Ignored = (path: string, isFolder: boolean) => boolean;

/**
 * What stays at home: `.git` wherever it is, and what `.zddignore` says (gitignore syntax, one file
 * at the top). `zdd.yaml` always travels: without it nothing can be deployed.
 * @throws ZDD_ARTIFACT_UNSAFE when `.zddignore` is there and cannot be read: sending what it keeps
 * back could publish a secret.
 */
export async function readIgnored(folder: string): Promise<Ignored> {
  let rules = '';
  try {
    rules = await readFile(join(folder, IGNORE_FILE), 'utf8');
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')) {
      throw new ZddError('ZDD_ARTIFACT_UNSAFE', `${IGNORE_FILE} cannot be read`, {
        evidence: [[IGNORE_FILE, reasonOf(cause)]],
        cause,
      });
    }
  }
  return ignoredBy(rules);
}

/** @param rules text of a `.zddignore` */
export function ignoredBy(rules: string): Ignored {
  const matcher = ignore({ ignorecase: false }).add(rules);
  return (path, isFolder) => {
    if (path === '.git' || path.endsWith('/.git')) return true;
    if (path === CONFIG_FILE) return false;
    return rules !== '' && matcher.ignores(isFolder ? `${path}/` : path);
  };
}

import { readFile, stat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { AppConfig } from '../../../agent/protocol/app-config.ts';
import { ZddError } from '../../../agent/protocol/errors.ts';
import { reasonOf } from './source.ts';

export const CONFIG_FILE = 'zdd.yaml';

/** A checked `zdd.yaml`. */
export interface ReadConfig {
  readonly text: string;
  readonly config: AppConfig;
}

/**
 * The checked `zdd.yaml` of a folder.
 * @throws ZDD_CONFIG_MISSING, ZDD_CONFIG_INVALID with every problem of the file
 */
export async function readFolderConfig(folder: string, cwd: string): Promise<ReadConfig> {
  const path = join(folder, CONFIG_FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (isMissing(cause)) throw await missing(folder, cwd);
    throw new ZddError('ZDD_CONFIG_INVALID', `${CONFIG_FILE} cannot be read`, {
      evidence: [[CONFIG_FILE, reasonOf(cause)]],
      cause,
    });
  }
  return await parsed(text);
}

/** @throws ZDD_CONFIG_INVALID */
export async function parsed(text: string): Promise<ReadConfig> {
  // Most verbs only look where the file is, and its rules take a while to load.
  const { parseAppConfig } = await import('../../../agent/protocol/zdd-yaml.ts');
  return { text, config: parseAppConfig(text, CONFIG_FILE) };
}

/** The nearest folder with a `zdd.yaml`, from `start` upward; null when there is none. */
export async function nearestConfigFolder(start: string): Promise<string | null> {
  for (let folder = start; ; folder = dirname(folder)) {
    const found = await stat(join(folder, CONFIG_FILE)).catch(() => null);
    if (found?.isFile()) return folder;
    if (dirname(folder) === folder) return null;
  }
}

async function missing(folder: string, cwd: string): Promise<ZddError> {
  const shown = relative(cwd, folder) || '.';
  const above = await nearestConfigFolder(dirname(folder));
  const misnamed = await stat(join(folder, 'zdd.yml')).catch(() => null);
  return new ZddError('ZDD_CONFIG_MISSING', `there is no ${CONFIG_FILE} in ${shown}`, {
    tries: misnamed
      ? [`mv ${join(shown, 'zdd.yml')} ${join(shown, CONFIG_FILE)}`]
      : above
        ? [`zdd-agent push ${relative(cwd, above) || '.'}`]
        : [],
  });
}

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
}

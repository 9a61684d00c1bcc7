import { readFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { ZddError } from '../../agent/protocol/errors.ts';
import { parseAppConfig } from '../../agent/protocol/zdd-yaml.ts';
import type { Context } from '../context.ts';
import { planLines } from './plan.ts';
import { CONFIG_FILE, nearestConfigFolder } from './source/config.ts';
import { reasonOf } from './source/source.ts';

/** @param typed a file; default: the nearest `zdd.yaml` upward. @returns the exit code */
export async function checkConfig(context: Context, typed: string | undefined): Promise<number> {
  const path = await fileToCheck(context.cwd, typed);
  const shown = relative(context.cwd, path);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new ZddError('ZDD_CONFIG_MISSING', `${shown} cannot be read`, {
      evidence: [['file', reasonOf(cause)]],
      cause,
    });
  }
  const config = parseAppConfig(text, shown);
  context.screen.value({ schemaVersion: 1, file: path, config });
  context.screen.data(
    [`${shown}: no problems, app ${config.app}`, ...planLines(config)].join('\n'),
  );
  return 0;
}

/** @throws ZDD_CONFIG_MISSING when none is named and none is found */
export async function fileToCheck(cwd: string, typed: string | undefined): Promise<string> {
  if (typed !== undefined) return resolve(cwd, typed);
  const folder = await nearestConfigFolder(cwd);
  if (folder !== null) return join(folder, CONFIG_FILE);
  throw new ZddError('ZDD_CONFIG_MISSING', `there is no ${CONFIG_FILE} here or above`, {
    tries: ['zdd-agent config check FILE'],
  });
}

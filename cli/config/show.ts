import { readFile } from 'node:fs/promises';
import { relative } from 'node:path';
import { ZddError } from '../../agent/protocol/errors.ts';
import { parseAppConfig } from '../../agent/protocol/zdd-yaml.ts';
import type { Context } from '../context.ts';
import { fileToCheck } from '../push/check.ts';
import { reasonOf } from '../push/source/source.ts';
import { configLines, leavesOf } from '../render/config.ts';
import { originsOf } from './origin.ts';
import { withImplied, writtenConfig } from './written.ts';

/**
 * Prints what a `zdd.yaml` comes to: valid YAML that means the same as the file.
 * @param typed a file; default: the nearest `zdd.yaml` upward. @returns the exit code
 * @throws ZDD_CONFIG_MISSING, ZDD_CONFIG_INVALID with every problem
 */
export async function showConfig(
  context: Context,
  typed: string | undefined,
  origin: boolean,
): Promise<number> {
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
  const written = writtenConfig(config);
  const originOf = originsOf(text);
  const origins = leavesOf(written).map(({ path: at, value }) => ({
    path: at.join('.'),
    ...originOf(at, value),
  }));
  context.screen.value({
    schemaVersion: 1,
    file: path,
    config: withImplied(config),
    written,
    ...(origin ? { origins } : {}),
  });
  const told = origin
    ? (at: readonly (string | number)[], value: Parameters<typeof originOf>[1]) => {
        const found = originOf(at, value);
        return found.from === 'default' ? 'default' : `${shown}:${found.line}`;
      }
    : null;
  context.screen.data(configLines(context.screen, written, told).join('\n'));
  return 0;
}

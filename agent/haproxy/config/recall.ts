import { setTimeout as sleep } from 'node:timers/promises';
import { ZddError } from '../../protocol/errors.ts';
import type { ResolvedOptions } from '../options.ts';
import { renderComplete } from './complete.ts';
import { readConfig, readPrevious } from './file.ts';

/** An editor that writes in place has emptied the file for a moment, ms. */
const EDITOR_MS = 300;

/**
 * The file, or when it is gone or emptied what it said before: without the part that is the admin's,
 * the next reload would take away their frontends and our sockets.
 * @returns `text` to work on, and what really `stands` there
 * @throws ZDD_HAPROXY_CONFIG_INVALID when there is no file and no copy of it
 */
export async function readOrRecall(
  options: ResolvedOptions,
): Promise<{ readonly text: string; readonly stands: string }> {
  const { configPath, mode } = options;
  let stands = (await readConfig(configPath)) ?? '';
  if (stands.trim() === '') {
    await sleep(EDITOR_MS);
    stands = (await readConfig(configPath)) ?? '';
  }
  if (stands.trim() !== '') return { text: stands, stands };
  const text = (await readPrevious(configPath)) ?? '';
  if (text.trim() !== '') return { text, stands };
  if (mode === 'embedded') return { text: renderComplete(options), stands };
  throw new ZddError(
    'ZDD_HAPROXY_CONFIG_INVALID',
    `${configPath} is missing or empty, and there is no copy of it: HAProxy runs on with what it has.`,
    { traffic: 'unchanged', tries: [`ls -l ${configPath}*`, 'zdd-agent doctor'] },
  );
}

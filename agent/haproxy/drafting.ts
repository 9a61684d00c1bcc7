import { type Draft, draftConfig, writeConfig } from './config/draft.ts';
import { replaceRegion } from './config/region.ts';
import type { ConfigFile } from './config-file.ts';
import { type Context, renderWith } from './context.ts';
import type { DesiredProxy } from './desired.ts';

/**
 * Begins to check what the file shall say at the end: what is asked of the running HAProxy meanwhile,
 * and servers that have to come first, do not change that.
 * @returns undefined when the file says it already
 */
export function draftOf(
  { options }: Context,
  desired: DesiredProxy,
  file: ConfigFile,
  signal: AbortSignal,
): Draft | undefined {
  const text = replaceRegion(file.text, renderWith(options, desired, file).text);
  if (text === file.stands) return undefined;
  return draftConfig(options.configPath, text, options.binary, signal, file.stands ?? '');
}

/**
 * Puts a text in place of the file, the draft when it is of this very text. One that did not pass is no
 * verdict: what it names may have come since.
 * @param stands what is there now
 * @throws what `writeConfig` throws
 */
export async function writeText(
  { options: { configPath, binary } }: Context,
  text: string,
  stands: string | undefined,
  draft: Draft | undefined,
  signal: AbortSignal,
): Promise<void> {
  const madeFrom = stands ?? '';
  if (draft !== undefined && (await draft.holds(text))) await draft.place(madeFrom);
  else await writeConfig(configPath, text, binary, signal, madeFrom);
}

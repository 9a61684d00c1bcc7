import type { AppConfig } from '../../protocol/app-config.ts';
import { ZddError } from '../../protocol/errors.ts';
import { parseAppConfig } from '../../protocol/zdd-yaml.ts';
import { type ArchiveEntry, readEntries } from './entries.ts';
import { empty, sizeText, tooLarge } from './errors.ts';
import { DEFAULT_UNPACK_LIMITS, MAX_CONFIG_BYTES } from './limits.ts';
import { splitName } from './names.ts';

/** The name of the file that makes a folder an app. */
export const CONFIG_NAME = 'zdd.yaml';

/** The configuration of an artifact. */
export interface AppConfigFile {
  readonly text: string;
  readonly config: AppConfig;
  /** Where it was found in the archive: `zdd.yaml` or `shop-1.2/zdd.yaml`. */
  readonly path: string;
}

/**
 * Reads the `zdd.yaml` of an artifact without unpacking it. It lies at the root of the archive; or,
 * when everything in the archive lies in one folder (as `git archive --prefix` and `tar czf x.tgz
 * folder` make it), at the root of that folder, which then is the root of the release.
 *
 * Reading stops at a `zdd.yaml` at the root: damage behind it is found when it is unpacked.
 * @throws ZDD_CONFIG_MISSING, ZDD_CONFIG_INVALID, ZDD_ARTIFACT_*
 */
export async function readAppConfig(
  artifactPath: string,
  signal: AbortSignal = new AbortController().signal,
): Promise<AppConfigFile> {
  const top = new Set<string>();
  const seen: string[] = [];
  let files = 0;
  let candidate: { text: string; path: string } | null = null;
  for await (const entry of readEntries(artifactPath, DEFAULT_UNPACK_LIMITS, signal)) {
    const [first, second, ...deeper] = splitName(entry.name);
    if (first === undefined) continue;
    top.add(first);
    const path = splitName(entry.name).join('/');
    if (/(^|\/)zdd\.ya?ml$/i.test(path)) seen.push(path);
    if (entry.type !== 'directory') files += 1;
    if (entry.type !== 'file') continue;
    if (first === CONFIG_NAME && second === undefined) return parsed(await textOf(entry), path);
    if (second === CONFIG_NAME && deeper.length === 0) {
      candidate = { text: await textOf(entry), path };
    }
  }
  if (files === 0) throw empty('it holds nothing but folders');
  if (candidate === null || top.size !== 1) throw configMissing([...top], seen);
  return parsed(candidate.text, candidate.path);
}

/** @param top what lies at the root of the archive  @param seen files named much like it */
export function configMissing(top: readonly string[], seen: readonly string[]): ZddError {
  const shown = (names: readonly string[]): string =>
    names.slice(0, 8).join(', ') + (names.length > 8 ? `, and ${names.length - 8} more` : '');
  return new ZddError('ZDD_CONFIG_MISSING', `there is no ${CONFIG_NAME} in the archive`, {
    evidence: [
      ['expected', `${CONFIG_NAME} at the root of the archive, or in the only folder there`],
      ['at the root', shown(top)],
      ...(seen.length > 0 ? [['found', shown(seen)] as const] : []),
    ],
    tries: ['tar czf release.tgz -C FOLDER . && zdd-agent push release.tgz'],
  });
}

function parsed(text: string, path: string): AppConfigFile {
  return { text, path, config: parseAppConfig(text, path) };
}

async function textOf(entry: ArchiveEntry): Promise<string> {
  if (entry.size > MAX_CONFIG_BYTES) {
    throw tooLarge(
      `${sizeText(entry.size)}, the limit is ${sizeText(MAX_CONFIG_BYTES)}`,
      entry.name,
    );
  }
  const chunks: Buffer[] = [];
  for await (const chunk of entry.content) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

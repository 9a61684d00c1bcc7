import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { LineType, parse } from 'ssh-config';
import { ZddError } from '../../../../agent/protocol/errors.ts';
import { matchesPatterns } from '../patterns.ts';

/** One setting, or a section with settings of its own, in the order of the file. */
export type ConfigLine =
  | { readonly kind: 'setting'; readonly keyword: string; readonly words: readonly string[] }
  | {
      readonly kind: 'host' | 'match';
      readonly words: readonly string[];
      readonly lines: readonly ConfigLine[];
    }
  /** The lines of included files: their sections end where they do. */
  | { readonly kind: 'include'; readonly lines: readonly ConfigLine[] };

/** As deep as ssh follows includes. */
const DEEPEST = 16;

/**
 * A ssh_config file with everything it includes; nothing when there is no such file.
 * @param home what `~` stands for; relative includes lie in the folder of the first file, as for ssh
 * @throws ZDD_CONFIG_INVALID when a file cannot be parsed or not be read
 */
export async function readConfigFile(
  path: string,
  home: string,
  depth = 0,
  folder = dirname(path),
): Promise<readonly ConfigLine[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return [];
    throw invalid(path, cause);
  }
  try {
    return await linesOf(parse(text), { home, folder, depth });
  } catch (cause) {
    throw cause instanceof ZddError ? cause : invalid(path, cause);
  }
}

interface Place {
  readonly home: string;
  readonly folder: string;
  readonly depth: number;
}

async function linesOf(parsed: ReturnType<typeof parse>, place: Place): Promise<ConfigLine[]> {
  const lines: ConfigLine[] = [];
  for (const line of parsed) {
    if (line.type !== LineType.DIRECTIVE) continue;
    const keyword = line.param.toLowerCase();
    const words = keyword === 'proxycommand' ? [wholeOf(line.value)] : wordsOf(line.value);
    if (keyword === 'include') {
      lines.push({ kind: 'include', lines: await included(words, place) });
    } else if (keyword === 'host' || keyword === 'match') {
      const inner = 'config' in line ? await linesOf(line.config, place) : [];
      lines.push({ kind: keyword, words, lines: inner });
    } else {
      lines.push({ kind: 'setting', keyword, words });
    }
  }
  return lines;
}

async function included(
  words: readonly string[],
  { home, folder, depth }: Place,
): Promise<ConfigLine[]> {
  if (depth >= DEEPEST) throw new Error(`includes are nested deeper than ${DEEPEST}`);
  const lines: ConfigLine[] = [];
  for (const word of words) {
    const path = word.replace(/^~(?=\/)/, home);
    const found = await filesOf(isAbsolute(path) ? path : join(folder, path));
    for (const each of found.toSorted()) {
      lines.push(...(await readConfigFile(each, home, depth + 1, folder)));
    }
  }
  return lines;
}

/** What distributions ship, `*.conf` of one folder, is read without glob: that takes 10 ms to load. */
async function filesOf(pattern: string): Promise<string[]> {
  const folder = dirname(pattern);
  const name = basename(pattern);
  if (/[*?[{]/.test(folder) || /[[{]/.test(name)) {
    const { glob } = await import('node:fs/promises');
    const found: string[] = [];
    for await (const each of glob(pattern)) found.push(each);
    return found;
  }
  if (!/[*?]/.test(name)) return [pattern];
  const names = await readdir(folder).catch(() => []);
  const visible = names.filter((each) => !each.startsWith('.') || name.startsWith('.'));
  return visible.filter((each) => matchesPatterns([name], each)).map((each) => join(folder, each));
}

type Value = ReturnType<typeof parse>[number] extends infer Line
  ? Line extends { readonly value: infer V }
    ? V
    : never
  : never;

function wordsOf(value: Value): string[] {
  if (typeof value !== 'string') return value.map(({ val }) => val);
  return value === '' ? [] : [value];
}

/** A command for a shell, put together again as it was written. */
function wholeOf(value: Value): string {
  if (typeof value === 'string') return value;
  return value
    .map(({ val, separator, quoted }) => `${separator}${quoted ? `"${val}"` : val}`)
    .join('')
    .trim();
}

function invalid(path: string, cause: unknown): ZddError {
  return new ZddError('ZDD_CONFIG_INVALID', 'a configuration file of ssh cannot be read', {
    evidence: [
      ['file', path],
      ['why', cause instanceof Error ? cause.message : String(cause)],
    ],
    tries: [`ssh -G -F ${path} example.com`],
    cause,
  });
}

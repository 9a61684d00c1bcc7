import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';

/** Everything a package is made of; the npm packages and the runtime follow from the lock file. */
const SOURCES = [
  'agent',
  'build',
  'cli',
  'docs',
  'templates',
  'CHANGELOG.md',
  'LICENSE',
  'install.sh',
  'package-lock.json',
  'package.json',
];

/** The date of a package that is built outside of git: any date, but always the same. */
const DATELESS = 1_767_225_600;

/** Paths of all files below a folder of `root`, relative to `root`, sorted. No hidden ones. */
export async function filesBelow(root: string, folder: string): Promise<readonly string[]> {
  const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

/** One hash over names and contents of all sources: equal means that the package is equal. */
export async function fingerprint(root: string, date: Date): Promise<string> {
  const hash = createHash('sha256').update(`${date.toISOString()}\n`);
  for (const source of SOURCES) {
    for (const path of await pathsOf(root, source)) {
      const content = createHash('sha256').update(await readFile(join(root, path)));
      hash.update(`${content.digest('hex')}  ${path}\n`);
    }
  }
  return hash.digest('hex');
}

async function pathsOf(root: string, source: string): Promise<readonly string[]> {
  if (source.includes('.') || source === 'LICENSE') return [source];
  return await filesBelow(root, source);
}

/**
 * The date that stands on everything in the package: SOURCE_DATE_EPOCH, else that of the last
 * commit, so that two builds of one commit are equal. https://reproducible-builds.org/specs/source-date-epoch/
 */
export function dateOf(root: string): Date {
  const given = process.env['SOURCE_DATE_EPOCH'];
  return new Date(Number(given ?? lastCommit(root) ?? DATELESS) * 1_000);
}

function lastCommit(root: string): string | undefined {
  try {
    return execFileSync('git', ['log', '-1', '--format=%ct'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined;
  }
}

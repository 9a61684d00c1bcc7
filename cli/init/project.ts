import { readFileSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** What a detection may look at. */
export interface Project {
  /** Name of its folder. */
  readonly folder: string;
  /** Its files, relative with `/`, sorted; without what tools install or make. */
  readonly files: readonly string[];
  /** The text of a file; null when there is none that can be read as a short text. */
  read(path: string): string | null;
}

/** Far more than says how a project starts; keeps a look at a huge folder short. */
const MAX_FILES = 5_000;
const MAX_DEPTH = 5;
const MAX_BYTES = 256 * 1024;

/** Folders that say nothing about a project, and may be huge. */
const SKIPPED: ReadonlySet<string> = new Set([
  '.git',
  '.venv',
  '__pycache__',
  'bower_components',
  'coverage',
  'node_modules',
  'target',
  'tmp',
  'vendor',
  'venv',
]);

/** @throws what readdir(2) says of `path` itself; folders below that cannot be read are left out. */
export async function openProject(path: string): Promise<Project> {
  const files: string[] = [];
  await list(path, '', 0, files);
  return {
    folder: basename(path),
    files: files.sort(),
    read: (name) => readText(join(path, name)),
  };
}

async function list(root: string, below: string, depth: number, files: string[]): Promise<void> {
  const entries = await readdir(join(root, below), { withFileTypes: true }).catch((cause) => {
    if (below === '') throw cause;
    return [];
  });
  const folders: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isFile() && files.length < MAX_FILES) files.push(path);
    if (entry.isDirectory() && !SKIPPED.has(entry.name)) folders.push(path);
  }
  if (depth === MAX_DEPTH) return;
  for (const folder of folders) await list(root, folder, depth + 1, files);
}

function readText(path: string): string | null {
  try {
    const found = statSync(path);
    if (!found.isFile() || found.size > MAX_BYTES) return null;
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

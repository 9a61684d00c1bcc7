/** One thing in a release, with its path from the root of the release. */
export type ReleaseEntry =
  | { readonly type: 'directory'; readonly path: string }
  | ReleaseFile
  | { readonly type: 'symlink'; readonly path: string; readonly target: string };

/** A file of a release. */
export type ReleaseFile = { readonly type: 'file'; readonly path: string } & FileContent;

/** What a file is, beside its name. */
export interface FileContent {
  readonly executable: boolean;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

/** Lies at the root of each release, and first in an artifact that is only a part of one. */
export const MANIFEST_NAME = '.zdd-manifest';

const MANIFEST = 'zdd-manifest 1';
const OUTLINE = 'zdd-outline 1';
/** Of the sha256 of a file, in an outline: hex digits. */
const SHORT = 16;

/** The order of a manifest: the same on every machine, whatever its locale. */
export function byPath(a: ReleaseEntry, b: ReleaseEntry): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
}

/**
 * The manifest of a release: one line an entry, fields divided by tabs, ordered by path. Its sha256
 * is the digest of the release: `sha256sum .zdd-manifest` shows it. No path or link holds a tab or a
 * newline (such archives are refused), so no two releases have the same manifest.
 */
export function manifestOf(entries: readonly ReleaseEntry[]): string {
  return `${[MANIFEST, ...entries.map(lineOf)].join('\n')}\n`;
}

/** Null when the text is no manifest. */
export function parseManifest(text: string): ReleaseEntry[] | null {
  const [version, ...lines] = text.split('\n');
  return version === MANIFEST ? parseLines(lines) : null;
}

/** What a release consists of, before all of it is there. */
export interface Outline {
  /** sha256 of the manifest, hex: what the whole must come to in the end. */
  readonly digest: string;
  /** The `sha256` of each file is cut short. */
  readonly entries: readonly ReleaseEntry[];
}

/**
 * A manifest as it travels. The digests of the files are most of it and cannot be compressed, so
 * only their beginning is told: enough to find a content again, and nothing more is done with it.
 * What was found is proved by the digest of the whole manifest, which is not cut.
 */
export function outlineOf({ digest, entries }: Outline): string {
  const short = entries.map((entry) =>
    entry.type === 'file' ? { ...entry, sha256: entry.sha256.slice(0, SHORT) } : entry,
  );
  return `${[`${OUTLINE} ${digest}`, ...short.map(lineOf)].join('\n')}\n`;
}

/** Null when the text is no outline. */
export function parseOutline(text: string): Outline | null {
  const [head = '', ...lines] = text.split('\n');
  const digest = /^zdd-outline 1 ([0-9a-f]{64})$/.exec(head)?.[1];
  const entries = digest === undefined ? null : parseLines(lines);
  return digest === undefined || entries === null ? null : { digest, entries };
}

/** Equal for files that an outline cannot tell apart. */
export function contentKey({ bytes, sha256 }: FileContent): string {
  return `${bytes}-${sha256.slice(0, SHORT)}`;
}

function lineOf(entry: ReleaseEntry): string {
  switch (entry.type) {
    case 'directory':
      return `directory\t${entry.path}`;
    case 'file': {
      const { executable, bytes, sha256, path } = entry;
      return `file\t${executable ? 'x' : '-'}\t${bytes}\t${sha256}\t${path}`;
    }
    case 'symlink':
      return `symlink\t${entry.target}\t${entry.path}`;
  }
}

function parseLines(lines: string[]): ReleaseEntry[] | null {
  if (lines.pop() !== '') return null;
  const entries: ReleaseEntry[] = [];
  for (const line of lines) {
    const entry = parseLine(line);
    if (entry === null) return null;
    entries.push(entry);
  }
  return entries;
}

function parseLine(line: string): ReleaseEntry | null {
  const fields = line.split('\t');
  const [type, first = '', second = '', third = '', fourth = ''] = fields;
  if (type === 'directory' && fields.length === 2) return { type, path: first };
  if (type === 'symlink' && fields.length === 3) return { type, target: first, path: second };
  if (type !== 'file' || fields.length !== 5) return null;
  if (!/^[x-]$/.test(first) || !/^\d{1,15}$/.test(second) || !/^[0-9a-f]+$/.test(third))
    return null;
  return { type, executable: first === 'x', bytes: Number(second), sha256: third, path: fourth };
}

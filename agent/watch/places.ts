import { createHash } from 'node:crypto';
import { lstat, mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, fsyncDir, namesIn, removeTree, writeFileAtomic } from '../store/atomic-file.ts';

/** Folders of the agent's own beside what is dropped. */
const OWN = ['taken', 'done', 'failed'] as const;
type Own = (typeof OWN)[number];
/** Files kept in `done/`, and as many in `failed/`, each with its result. */
const KEPT = 10;
const RESULT = '.result.json';
const MAX_NAME_BYTES = 200;

/** The folder of one app in the drop folder. */
export class DropPlace {
  readonly dir: string;

  constructor(incoming: string, app: string) {
    this.dir = join(incoming, app);
  }

  static isOwn(name: string): boolean {
    return OWN.some((own) => own === name);
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  taken(id: number): string {
    return join(this.dir, 'taken', String(id));
  }

  /**
   * Makes what is missing. Members of the folder's group may add files; sticky, so that none of them
   * can put something else in the place of another's file or of the agent's own folders. The group
   * comes from the folder above, which is set-group-ID.
   */
  async make(): Promise<void> {
    await mkdir(this.dir, { recursive: true, mode: 0o1770 });
    for (const own of OWN) {
      await mkdir(join(this.dir, own), { recursive: true, mode: 0o750 });
      const found = await lstat(join(this.dir, own));
      if (!found.isDirectory()) throw new Error(`${join(this.dir, own)} is no folder`);
    }
  }

  /** Takes a file out of everybody's reach: from now on it is the agent's alone. */
  async take(name: string, id: number): Promise<void> {
    await rename(this.path(name), this.taken(id));
    await moveOver(`${this.path(name)}.sha256`, `${this.taken(id)}.sha256`);
    await fsyncDir(join(this.dir, 'taken'));
    await fsyncDir(this.dir);
  }

  /**
   * Moves a file to where it belongs and writes its result beside it. May be done again after it was
   * cut at any point.
   * @param from where the file lies; it may be gone by now
   * @returns false when the file may not be moved: the result stands alone
   */
  async conclude(from: string, name: string, end: 'done' | 'failed', result: string) {
    const kept = keptName(name);
    const dir = join(this.dir, end);
    const other = join(this.dir, end === 'done' ? 'failed' : 'done', kept);
    await writeFileAtomic(join(dir, kept + RESULT), result, { mode: 0o640 });
    const moved = await moveOver(from, join(dir, kept));
    await moveOver(`${from}.sha256`, join(dir, `${kept}.sha256`));
    // The newest word on a name is the only one.
    await removeTree(other);
    for (const suffix of [RESULT, '.sha256']) await rm(other + suffix, { force: true });
    await fsyncDir(dir);
    await fsyncDir(this.dir);
    await this.#prune(end);
    return moved;
  }

  async #prune(own: Own): Promise<void> {
    const dir = join(this.dir, own);
    const results: { name: string; at: number }[] = [];
    for (const name of await namesIn(dir)) {
      if (!name.endsWith(RESULT)) continue;
      const { mtimeMs } = await stat(join(dir, name));
      results.push({ name: name.slice(0, -RESULT.length), at: mtimeMs });
    }
    for (const { name } of results.toSorted((a, b) => b.at - a.at).slice(KEPT)) {
      await removeTree(join(dir, name));
      for (const suffix of ['.sha256', RESULT]) await rm(join(dir, name + suffix), { force: true });
    }
  }

  /** Ids of what was taken and not concluded. */
  async takenIds(): Promise<number[]> {
    return (await namesIn(join(this.dir, 'taken'))).map(Number).filter(Number.isInteger);
  }
}

/** A name that leaves room for what is put behind it and is readable in a terminal. */
function keptName(name: string): string {
  const plain = name.replace(/[^\w.+~@=,-]/g, '_');
  if (plain === name && Buffer.byteLength(name) <= MAX_NAME_BYTES) return name;
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 8);
  return `${plain.slice(0, 80)}-${digest}`;
}

/** @returns false when it may not be moved */
async function moveOver(from: string, to: string): Promise<boolean> {
  try {
    const there = await lstat(to).catch(() => null);
    if (there?.isDirectory() && (await lstat(from)).isDirectory()) await removeTree(to);
    await rename(from, to);
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT') return true;
    if (errno === 'EACCES' || errno === 'EPERM' || errno === 'EISDIR' || errno === 'ENOTDIR') {
      return false;
    }
    throw error;
  }
}

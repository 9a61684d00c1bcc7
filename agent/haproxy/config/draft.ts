import { link, mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { checkConfig } from './check.ts';
import {
  errnoOf,
  forbidden,
  isBlank,
  readConfig,
  syncAt,
  targetOf,
  temporaryFor,
  writeDurably,
  writeLike,
} from './file.ts';

/** Somebody edited the file while its successor was being checked: theirs must not be lost. */
export class ConfigEdited extends Error {}

/** A text that may become the file: it stands beside it, and HAProxy looks whether it can be loaded. */
export interface Draft {
  /** Whether it is this text, passed `haproxy -c`, and was not placed yet; waits for the look. */
  holds(text: string): Promise<boolean>;
  /** What the text names has changed: the look counts no more. */
  outdate(): void;
  /**
   * Waits for the look, and puts the text in place of the file in one rename, both durable. The file
   * before is kept beside it as `<name>.previous`.
   * @param madeFrom what the file said when the text was made of it
   * @throws ZDD_HAPROXY_CONFIG_INVALID (also when the folder may not be written), or ConfigEdited when
   *   the file says something else by now; nothing has changed
   */
  place(madeFrom?: string): Promise<void>;
  /** Ends the look and removes what was not placed. */
  discard(): Promise<void>;
}

/**
 * Begins to write and to check a successor of the file, which takes as long as everything else of a
 * switch. Mode stays, and the owner too when we are root; an ordinary user owns what it writes, in the
 * group of the folder. A link is followed.
 * @param madeFrom what the file says, if that is known
 */
export function draftConfig(
  path: string,
  text: string,
  binary: string,
  signal: AbortSignal,
  madeFrom?: string,
): Draft {
  const discarded = new AbortController();
  const either = AbortSignal.any([signal, discarded.signal]);
  const checking = checked(path, text, binary, either, madeFrom);
  // Without `place` nobody needs to hear why it failed.
  const passed = checking.catch(() => undefined);
  let counts = true;
  return {
    holds: async (other) => other === text && (await passed) !== undefined && counts,
    place: async (madeFrom) => {
      await replaceBy(await checking, madeFrom);
      counts = false;
    },
    outdate: () => {
      counts = false;
    },
    discard: async () => {
      discarded.abort();
      const made = await passed;
      if (made !== undefined) await rm(made.temporary, { force: true });
    },
  };
}

/**
 * Checks `text` with `haproxy -c` and puts it in place of the file: a draft that is placed at once.
 * @param madeFrom what the file said when `text` was made of it
 * @throws ZDD_HAPROXY_CONFIG_INVALID (also when the folder may not be written), or ConfigEdited when the file says something else by now;
 * nothing has changed
 */
export async function writeConfig(
  path: string,
  text: string,
  binary: string,
  signal: AbortSignal,
  madeFrom?: string,
): Promise<void> {
  const draft = draftConfig(path, text, binary, signal, madeFrom);
  try {
    await draft.place(madeFrom);
  } finally {
    await draft.discard();
  }
}

/** A checked text on disk, and the file it is to replace. */
interface Successor {
  readonly target: string;
  readonly temporary: string;
}

async function checked(
  path: string,
  text: string,
  binary: string,
  signal: AbortSignal,
  madeFrom: string | undefined,
): Promise<Successor> {
  const target = await targetOf(path);
  const folder = dirname(target);
  const temporary = temporaryFor(target);
  try {
    await mkdir(folder, { recursive: true });
    await writeLike(temporary, text, target);
    const before = madeFrom ?? (await readConfig(target));
    // The disk has time to take it while HAProxy reads it.
    await Promise.all([
      checkConfig(temporary, { target, text, before }, binary, signal),
      syncAt(temporary),
    ]);
    return { target, temporary };
  } catch (error) {
    await rm(temporary, { force: true });
    if (errnoOf(error) === 'EACCES') throw forbidden(folder, 'written', error);
    throw error;
  }
}

async function replaceBy({ target, temporary }: Successor, madeFrom?: string): Promise<void> {
  const folder = dirname(target);
  const kept = `${temporary}.previous`;
  try {
    const isLinked = await nameTwice(target, kept);
    const before = await readConfig(target);
    // An emptied file says nothing that anybody would want back.
    const keeps = before !== undefined && !isBlank(before);
    if (keeps && !isLinked) await writeDurably(kept, before, target);
    const now = keeps && !isLinked ? await readConfig(target) : before;
    if (madeFrom !== undefined && (now ?? '') !== madeFrom) throw new ConfigEdited();
    await rename(temporary, target);
    if (keeps) await keepPrevious(target, before, kept);
    await syncAt(folder);
  } catch (error) {
    if (errnoOf(error) === 'EACCES') throw forbidden(folder, 'written', error);
    throw error;
  } finally {
    await rm(kept, { force: true });
  }
}

/**
 * The file itself is kept by a second name: nothing of it, on a host with many apps half a megabyte,
 * is written again. The kernel lets only an owner do so; of root's file a copy is kept.
 */
function nameTwice(target: string, kept: string): Promise<boolean> {
  return link(target, kept).then(
    () => true,
    () => false,
  );
}

/**
 * Only once the file has made place for another: as long as both names are of one file, who empties
 * the one in place empties the other. If that has just happened, what it said is written again.
 */
async function keepPrevious(target: string, before: string, kept: string): Promise<void> {
  const { size } = await stat(kept);
  if (size !== Buffer.byteLength(before) && isBlank(await readConfig(kept))) {
    await rm(kept, { force: true });
    await writeDurably(kept, before, target);
  }
  await rename(kept, `${target}.previous`);
}

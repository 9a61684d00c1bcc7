import type { ReleaseEntry, ReleaseFile } from '../../../agent/protocol/manifest.ts';
import { CONFIG_FILE } from '../source/config.ts';
import type { Follower } from '../source/scan.ts';
import type { Tree } from '../source/tree.ts';
import { Blocks } from './blocks.ts';
import { levelFor, zstdFrames } from './compress.ts';
import { packEntries } from './pack.ts';
import { IN_MEMORY, Spool } from './spool.ts';
import { tarWhole } from './tar.ts';

/**
 * Packs the files of a folder while they are looked at, so that each is read once. What is looked at
 * before it is known whether all of them travel is kept in memory, as far as there is room: that is
 * settled as soon as the agent has answered.
 */
export class Ahead implements Follower {
  readonly #signal: AbortSignal;
  readonly #packed = new Set<string>();
  readonly #blocks = new Blocks();
  #dropped = false;
  /** `zdd.yaml` was packed: it comes before all others. */
  #hasConfig = false;
  #begun: Begun | null = null;
  readonly #walked = Promise.withResolvers<readonly ReleaseEntry[]>();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Resolves with what there is once all names are known; as `Follower.walked`. */
  get names(): Promise<readonly ReleaseEntry[]> {
    return this.#walked.promise;
  }

  walked(entries: readonly ReleaseEntry[]): void {
    this.#walked.resolve(entries);
  }

  /** Not all of it will travel, or nothing more: nothing is packed from now on. */
  drop(): void {
    this.#dropped = true;
    this.#blocks.close();
    this.#begun?.spool.end();
  }

  /**
   * All of it will travel. @returns where it is packed, to be read while it grows
   * @throws ZDD_DISK_FULL (here)
   */
  async begin(): Promise<Spool> {
    const spool = await Spool.open('release.tar.zst', { inMemory: IN_MEMORY });
    const frames = zstdFrames(this.#blocks, () => levelFor(spool.unread));
    const filled = spool.fill(frames, this.#signal);
    // Who finishes it gets it, and who reads it.
    filled.catch(() => undefined);
    this.#begun = { spool, filled };
    return spool;
  }

  /**
   * Takes the content of a small file that has been looked at.
   * @throws ZDD_DISK_FULL (here), the reason of the signal
   */
  async take(file: ReleaseFile, content: Buffer): Promise<void> {
    if (this.#dropped) return;
    if (file.path === CONFIG_FILE) this.#hasConfig = true;
    const pieces = tarWhole(file, content);
    if (!this.#hasConfig || (this.#begun === null && !this.#blocks.hasRoom(lengthOf(pieces))))
      return;
    this.#packed.add(file.path);
    for (const piece of pieces) await this.#blocks.add(piece);
  }

  /**
   * All has been looked at: packs what is not packed yet, which are folders, links and large files.
   * @throws ZDD_ARTIFACT_UNSAFE when one of them has changed, ZDD_DISK_FULL (here), the reason of the
   * signal
   */
  async finish(tree: Tree): Promise<void> {
    if (this.#begun === null) throw new Error('nobody has begun it');
    const { spool, filled } = this.#begun;
    this.#blocks.end();
    await filled;
    const rest = tree.entries.filter((entry) => !this.#packed.has(entry.path));
    await spool.fill(packEntries(tree, rest), this.#signal);
    spool.end();
  }

  /** May be repeated. */
  async remove(): Promise<void> {
    this.drop();
    await this.#begun?.filled.catch(() => undefined);
    await this.#begun?.spool.remove();
  }
}

interface Begun {
  readonly spool: Spool;
  /** Settles when all that was packed while looking is in it. */
  readonly filled: Promise<void>;
}

function lengthOf(pieces: readonly Buffer[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

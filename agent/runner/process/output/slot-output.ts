import { closeSync, mkdirSync } from 'node:fs';
import type { InstanceSpec, OutputLine } from '../../runner.ts';
import type { Follower } from './follower.ts';
import { StreamFile } from './stream-file.ts';
import { lastLines, mergeByTime } from './tail.ts';

/** What the instances of one slot write: kept until the slot is forgotten. */
export class SlotOutput {
  readonly #spec: InstanceSpec;
  readonly #folder: string;
  readonly #files: readonly StreamFile[];
  readonly #followers: ReadonlySet<Follower>;

  constructor(
    spec: InstanceSpec,
    folder: string,
    limitBytes: number,
    followers: ReadonlySet<Follower>,
  ) {
    this.#spec = spec;
    this.#folder = folder;
    this.#files = [
      new StreamFile(folder, 'out', limitBytes / 2),
      new StreamFile(folder, 'err', limitBytes / 2),
    ];
    this.#followers = followers;
  }

  /** Gives `use` the descriptors that an instance is to write to; they are closed after it. */
  async withDescriptors<T>(use: (out: number, err: number) => Promise<T>): Promise<T> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const [out, err] = this.#files.map((file) => file.openForAppending());
    try {
      if (out === undefined || err === undefined) throw new Error('two streams were opened');
      return await use(out, err);
    } finally {
      for (const fd of [out, err]) if (fd !== undefined) closeSync(fd);
    }
  }

  /** Notes arrivals, feeds followers and keeps the size in bounds. */
  tick(): void {
    for (const file of this.#files) {
      file.note();
      this.#collect(file);
      if (!file.isTooLarge()) continue;
      file.cut(() => this.#collect(file));
      for (const follower of this.#followers) follower.restart(file);
    }
  }

  /** The last tick: nothing of this slot writes any more. */
  finish(): void {
    this.tick();
    for (const follower of this.#followers) {
      for (const file of this.#files) follower.finish(this.#spec, file);
    }
  }

  /** Lets a new follower begin at the present end. */
  skip(follower: Follower): void {
    for (const file of this.#files) follower.skip(this.#spec, file);
  }

  last(count: number): readonly OutputLine[] {
    return mergeByTime(
      this.#files.map(({ stream, path }) => lastLines(this.#spec, stream, path, count)),
      count,
    );
  }

  #collect(file: StreamFile): void {
    for (const follower of this.#followers) follower.collect(this.#spec, file);
  }
}

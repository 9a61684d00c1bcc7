import type { ReleaseFile } from '../../agent/protocol/manifest.ts';
import { CONFIG_FILE } from './config.ts';
import { zstd } from './pack.ts';
import { Packer } from './packer.ts';
import { Spool } from './spool.ts';
import { tarWhole } from './tar.ts';

/** Packing that is under way. */
interface Under {
  readonly spool: Spool;
  readonly packer: Packer;
  readonly filled: Promise<void>;
}

/**
 * Packs the files of a folder while they are looked at, from the moment when it is known that all of
 * them will travel: so each is read once. What was looked at before that, and large files, are not
 * here: they are packed afterwards.
 */
export class Ahead {
  readonly #signal: AbortSignal;
  readonly #paths = new Set<string>();
  #wanted = false;
  /** `zdd.yaml` as it is packed: it comes before all others. */
  #config: Buffer | null = null;
  #under: Under | null = null;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** From now on, what is taken is packed. */
  want(): void {
    this.#wanted = true;
  }

  /** What is packed, as one frame of zstd; null when nothing is. */
  get spool(): Spool | null {
    return this.#under?.spool ?? null;
  }

  has({ path }: ReleaseFile): boolean {
    return this.#paths.has(path);
  }

  /** @throws ZDD_DISK_FULL (here), the reason of the signal */
  async take(file: ReleaseFile, content: Buffer): Promise<void> {
    if (file.path === CONFIG_FILE) this.#config = Buffer.concat(tarWhole(file, content));
    if (!this.#wanted || this.#config === null) return;
    const under = this.#under ?? (await this.#begin(this.#config));
    if (file.path !== CONFIG_FILE) await this.#add(under, file.path, tarWhole(file, content));
  }

  /** Nothing more will be taken. @throws as `take` */
  async end(): Promise<void> {
    if (this.#under === null) return;
    const { packer, filled } = this.#under;
    // What went wrong with writing says more than that the coder was closed for it.
    await Promise.all([filled, packer.end()]);
  }

  async remove(): Promise<void> {
    await this.#under?.filled.catch(() => undefined);
    await this.#under?.spool.remove();
  }

  async #begin(config: Buffer): Promise<Under> {
    const spool = await Spool.open('release.tar.zst');
    const coder = zstd();
    const filled = spool.fill(coder, this.#signal);
    filled.catch(() => undefined);
    const under = { spool, packer: new Packer(coder), filled };
    this.#under = under;
    await this.#add(under, CONFIG_FILE, [config]);
    return under;
  }

  async #add({ packer, filled }: Under, path: string, pieces: readonly Buffer[]): Promise<void> {
    try {
      for (const piece of pieces) await packer.add(piece);
    } catch (cause) {
      await filled;
      throw cause;
    }
    this.#paths.add(path);
  }
}

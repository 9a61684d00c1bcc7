import type { SlotBook } from './journal.ts';
import { releasesOf } from './slot-folder.ts';
import { partsOf } from './unit-names.ts';

/**
 * Which release a slot belongs to: by its spec while it is there, else by the number in its name and
 * the releases on the host; when that is gone too, the number is all that is left.
 */
export class ReleaseBook implements SlotBook {
  readonly #stateDir: string;
  readonly #known: (slot: string) => string | undefined;
  readonly #found = new Map<string, Promise<string>>();

  /** @param known the release of a slot that is there */
  constructor(stateDir: string, known: (slot: string) => string | undefined) {
    this.#stateDir = stateDir;
    this.#known = known;
  }

  release(app: string, name: string): Promise<string> {
    const slot = `${app}.${name}`;
    const found = this.#found.get(slot) ?? this.#find(app, slot, name);
    this.#found.set(slot, found);
    return found;
  }

  async #find(app: string, slot: string, name: string): Promise<string> {
    const known = this.#known(slot);
    if (known !== undefined) return known;
    const { release: number } = partsOf(name);
    const releases = await releasesOf(this.#stateDir, app);
    return releases.find((release) => release.split('-')[0] === number) ?? number;
  }
}

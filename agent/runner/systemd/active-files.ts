import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing, keepWritten, removeDurably } from './durable-file.ts';

/**
 * One file for each unit that shall run, also after a boot: `zdd-apps.service` starts them without
 * the agent, and sets the properties that are their lines. Written before the start, removed before
 * the stop, so that what stands here is what shall be.
 */
export class ActiveFiles {
  readonly #folder: string;

  constructor(stateDir: string) {
    this.#folder = join(stateDir, 'active');
  }

  async add(unit: string, properties: readonly string[]): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const text = properties.map((line) => `${line}\n`).join('');
    await keepWritten(join(this.#folder, unit), text, 0o600);
  }

  async remove(unit: string): Promise<void> {
    await removeDurably(join(this.#folder, unit));
  }

  /** The names of all units that shall run. */
  async all(): Promise<ReadonlySet<string>> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    return new Set(names.filter((name) => name.startsWith('zdd-app-')));
  }
}

import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** What became of one file. */
export interface InitFile {
  readonly path: string;
  readonly text: string;
  /** `kept`: there is one, and it stays. */
  readonly state: 'written' | 'replaced' | 'kept' | 'proposed';
}

/**
 * Writes a file of the project.
 * @param replace whether one that is there may go; it goes only once the new one is complete
 * @returns false when there is one and it may not go
 * @throws what the file system says; nothing half written stays then
 */
export async function writeProjectFile(
  path: string,
  text: string,
  replace: boolean,
): Promise<boolean> {
  const target = replace ? join(dirname(path), `.zdd-init-${randomUUID()}`) : path;
  try {
    // Exclusively: between a look and a write somebody else may have made it.
    const file = await open(target, 'wx');
    try {
      await file.writeFile(text);
      await file.sync();
      if (replace) await rename(target, path);
    } catch (cause) {
      await rm(target, { force: true });
      throw cause;
    } finally {
      await file.close();
    }
    return true;
  } catch (cause) {
    if (!replace && cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') {
      return false;
    }
    throw cause;
  }
}

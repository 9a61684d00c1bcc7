import { readEntries } from './entries.ts';
import { DEFAULT_UNPACK_LIMITS } from './limits.ts';

/**
 * Reads an archive to its very end, checksums and all, and keeps nothing of it: for one that may
 * still be on its way.
 * @throws ZDD_ARTIFACT_CORRUPT when it is cut short, and what `readEntries` throws
 */
export async function requireWhole(path: string, signal: AbortSignal): Promise<void> {
  for await (const entry of readEntries(path, DEFAULT_UNPACK_LIMITS, signal)) {
    // Content that nobody asks for is read and skipped.
    void entry;
  }
}

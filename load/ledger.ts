import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What the releases of the example app wrote into the folder `ZDD_SHOP_LEDGER`. */
export interface Ledger {
  /** Uploads that reached an app. */
  readonly uploads: number;
  /** Ids of uploads that reached an app more than once: a request was sent twice. */
  readonly duplicates: readonly string[];
  /** Workers that met another one that ran. */
  readonly workerOverlaps: number;
}

/** Reads the ledger; an absent one is an empty one. */
export async function readLedger(folder: string): Promise<Ledger> {
  const ids = (await linesOf(folder, 'requests.log')).map((line) => line.split(' ')[0] ?? '');
  const seen = new Set<string>();
  const duplicates = new Set<string>();
  for (const id of ids) {
    if (seen.has(id)) duplicates.add(id);
    seen.add(id);
  }
  const overlaps = await linesOf(folder, 'overlaps.log');
  return { uploads: seen.size, duplicates: [...duplicates], workerOverlaps: overlaps.length };
}

async function linesOf(folder: string, file: string): Promise<string[]> {
  try {
    const text = await readFile(join(folder, file), 'utf8');
    return text.split('\n').filter((line) => line !== '');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Appends a line to a known_hosts file; file and folder are made when they are not there.
 * One write at the end of the file: another ssh that appends at the same moment is not overwritten.
 */
export async function rememberLine(file: string, line: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const handle = await open(file, 'a+', 0o600);
  try {
    const { size } = await handle.stat();
    const last = Buffer.alloc(1, '\n');
    if (size > 0) await handle.read(last, 0, 1, size - 1);
    // A file that was left without its last newline must not swallow our line.
    await handle.appendFile(`${last.toString() === '\n' ? '' : '\n'}${line}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

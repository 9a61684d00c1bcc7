import { readFile, stat } from 'node:fs/promises';
import { ZddError } from '../../agent/protocol/errors.ts';
import { MAX_PAGE_BYTES } from '../../agent/protocol/gate.ts';

/** The HTML of a maintenance page. @throws ZDD_USAGE when it cannot be one */
export async function readPage(path: string): Promise<string> {
  const refuse = (message: string, cause?: unknown): ZddError =>
    new ZddError('ZDD_USAGE', message, {
      evidence: [['page', path]],
      tries: ['zdd-agent maintenance on --help'],
      cause,
    });
  const found = await stat(path).catch((cause: unknown) => {
    throw refuse('the maintenance page cannot be read', cause);
  });
  if (!found.isFile()) throw refuse('the maintenance page is no file');
  if (found.size > MAX_PAGE_BYTES) {
    throw refuse(
      `the maintenance page has ${found.size} bytes, HAProxy answers with at most ${MAX_PAGE_BYTES}: put images elsewhere`,
    );
  }
  const bytes = await readFile(path);
  try {
    const page = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (!page.includes('\0')) return page;
  } catch (cause) {
    throw refuse('the maintenance page is not UTF-8', cause);
  }
  throw refuse('the maintenance page has NUL bytes: it is no HTML');
}

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ZddError } from '../../protocol/errors.ts';
import { findRegion } from './region.ts';

/** How long `haproxy -c` may take, ms. It resolves names, which can wait for a resolver. */
const CHECK_MS = 30_000;
const DEFAULT_MODE = 0o640;

/** The file's text; undefined when there is none. Follows a symbolic link. */
export async function readConfig(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Somebody edited the file while its successor was being checked: theirs must not be lost. */
export class ConfigEdited extends Error {}

/**
 * Checks `text` with `haproxy -c` and puts it in place of the file in one rename, both durable.
 * The file before is kept beside it as `<name>.previous`; mode and owner stay. A link is followed.
 * @param madeFrom what the file said when `text` was made of it
 * @throws ZDD_HAPROXY_CONFIG_INVALID, or ConfigEdited when the file says something else by now;
 * nothing has changed
 */
export async function writeConfig(
  path: string,
  text: string,
  binary: string,
  signal: AbortSignal,
  madeFrom?: string,
): Promise<void> {
  const target = await realpath(path).catch((error: unknown) => {
    if (isMissing(error)) return path;
    throw error;
  });
  const folder = dirname(target);
  await mkdir(folder, { recursive: true });
  const before = await readConfig(target);
  // In the same folder, so that the rename stays within one file system.
  const temporary = join(folder, `.${basename(target)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await writeDurably(temporary, text, target);
    await check(temporary, { target, text, before }, binary, signal);
    if (before !== undefined) {
      const copy = `${temporary}.previous`;
      try {
        await writeDurably(copy, before, target);
        await rename(copy, `${target}.previous`);
      } finally {
        await rm(copy, { force: true });
      }
    }
    const now = (await readConfig(target)) ?? '';
    if (madeFrom !== undefined && now !== madeFrom) throw new ConfigEdited();
    await rename(temporary, target);
    await syncFolder(folder);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function writeDurably(path: string, text: string, like: string): Promise<void> {
  const owner = await stat(like).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  const file = await open(path, 'wx', DEFAULT_MODE);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  if (owner === undefined) return;
  const made = await stat(path);
  if (owner.uid !== made.uid || owner.gid !== made.gid) await chown(path, owner.uid, owner.gid);
  await chmod(path, owner.mode & 0o7777);
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

interface Checked {
  readonly target: string;
  readonly text: string;
  readonly before: string | undefined;
}

async function check(
  temporary: string,
  checked: Checked,
  binary: string,
  signal: AbortSignal,
): Promise<void> {
  const { code, output } = await runCheck(binary, temporary, signal);
  if (code === 0) return;
  const said = output.replaceAll(temporary, checked.target);
  const alerts = said.split('\n').filter((line) => line.startsWith('[ALERT]'));
  const complaint = /:(\d+)\]\s*:?\s*(.*)$/.exec(alerts.find((line) => /:\d+\]/.test(line)) ?? '');
  const place = complaint === null ? undefined : locate(Number(complaint[1]), checked);
  const name = basename(checked.target);
  throw new ZddError(
    'ZDD_HAPROXY_CONFIG_INVALID',
    complaint === null || place === undefined
      ? `${name} does not pass haproxy -c.`
      : place.part === 'admin'
        ? `${name} line ${place.line}, outside the managed region: ${complaint[2]}`
        : `${name}, inside the managed region: ${complaint[2]}`,
    {
      evidence: [
        ...(place === undefined
          ? []
          : [
              [
                place.part === 'admin' ? `line ${place.line} (yours)` : 'line (of the agent)',
                place.text,
              ] as const,
            ]),
        ['haproxy -c', (alerts.length > 0 ? alerts.join('\n') : said).slice(0, 2_000)],
      ],
      traffic: 'unchanged: neither the file nor the running HAProxy was touched',
      tries:
        place?.part === 'admin'
          ? [`sed -n ${place.line}p ${checked.target}`, `haproxy -c -f ${checked.target}`]
          : [`haproxy -c -f ${checked.target}`],
    },
  );
}

function runCheck(
  binary: string,
  path: string,
  signal: AbortSignal,
): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    execFile(
      binary,
      ['-c', '-f', path],
      { timeout: CHECK_MS, signal, maxBuffer: 8 << 20 },
      (error, stdout, stderr) => {
        const output = `${stderr}${stdout}`;
        if (error === null) resolve({ code: 0, output });
        else if (typeof error.code === 'number') resolve({ code: error.code, output });
        else reject(cannotRun(binary, error, signal));
      },
    );
  });
}

function cannotRun(binary: string, error: Error, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  return new ZddError('ZDD_HAPROXY_CONFIG_INVALID', `${binary} -c could not be run to its end.`, {
    evidence: [['error', error.message]],
    traffic: 'unchanged',
    tries: [`${binary} -v`],
    cause: error,
  });
}

/**
 * Whose line HAProxy complains about, and its number in the file that stands there now: the region
 * in the checked text may be longer or shorter than the one in it.
 */
function locate(
  line: number,
  { text, before }: Checked,
): { part: 'admin' | 'agent'; line: number; text: string } {
  const words = text.split('\n')[line - 1]?.trim() ?? '';
  const cut = findRegion(text);
  if (cut === undefined || line < cut.firstLine) return { part: 'admin', line, text: words };
  const height = cut.region.split('\n').length;
  if (line < cut.firstLine + height) return { part: 'agent', line, text: words };
  const old = before === undefined ? undefined : findRegion(before);
  const oldHeight = old === undefined ? height : old.region.split('\n').length;
  return { part: 'admin', line: line - height + oldHeight, text: words };
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

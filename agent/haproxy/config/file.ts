import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ZddError } from '../../protocol/errors.ts';

const DEFAULT_MODE = 0o640;

/**
 * The file's text; undefined when there is none. Follows a symbolic link.
 * @throws ZDD_HAPROXY_CONFIG_INVALID when it may not be read
 */
export async function readConfig(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    if (errnoOf(error) === 'EACCES') throw forbidden(path, 'read', error);
    throw error;
  }
}

/** The copy that `writeConfig` has kept; undefined when there is none. */
export async function readPrevious(path: string): Promise<string | undefined> {
  return await readConfig(`${await targetOf(path)}.previous`);
}

/**
 * Puts a file that `haproxy.cfg` names in place in one rename, durable, with its mode and owner.
 * @param config the `haproxy.cfg` it stands beside
 * @param mode of its own, for what holds a secret
 * @throws ZDD_HAPROXY_CONFIG_INVALID when the folder may not be written
 */
export async function writeBeside(
  config: string,
  path: string,
  text: string,
  mode?: number,
): Promise<void> {
  const folder = dirname(path);
  const temporary = temporaryFor(path);
  try {
    await writeDurably(temporary, text, await targetOf(config), mode);
    await rename(temporary, path);
    await syncAt(folder);
  } catch (error) {
    if (errnoOf(error) === 'EACCES') throw forbidden(folder, 'written', error);
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

/** In the same folder, so that the rename stays within one file system. */
export function temporaryFor(target: string): string {
  const name = `.${basename(target)}.${randomBytes(6).toString('hex')}.tmp`;
  return join(dirname(target), name);
}

/** Removes what killed writes left beside the file and its maps. Not while one is under way. */
export async function sweepConfig(path: string): Promise<void> {
  const target = await targetOf(path);
  const folder = dirname(target);
  const left = (await readdir(folder).catch(() => [])).filter((name) => {
    const of = /^\.(.+)\.[0-9a-f]{12}\.tmp/.exec(name)?.[1];
    return of === basename(target) || (of !== undefined && /^zdd-[a-z]+\.(map|lua|list)$/.test(of));
  });
  for (const name of left) await rm(join(folder, name), { force: true });
}

/** Where a file stands, or would stand: a link may lead to one that is not there yet. */
export async function targetOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
    const link = await readlink(path).catch(() => null);
    return link === null ? resolve(path) : resolve(dirname(path), link);
  }
}

export async function writeDurably(
  path: string,
  text: string,
  like: string,
  mode?: number,
): Promise<void> {
  await writeLike(path, text, like, mode);
  await syncAt(path);
}

/** A new file with mode and owner of another, if that is there; not on disk yet. */
export async function writeLike(
  path: string,
  text: string,
  like: string,
  mode?: number,
): Promise<void> {
  const owner = await stat(like).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  await writeFile(path, text, { flag: 'wx', mode: mode ?? DEFAULT_MODE });
  if (owner === undefined) return;
  const made = await stat(path);
  const isOther = owner.uid !== made.uid || owner.gid !== made.gid;
  // Only root may give a file away; after an admin's editor the owner of the old one is root.
  if (isOther && process.geteuid?.() === 0) await chown(path, owner.uid, owner.gid);
  await chmod(path, mode ?? owner.mode & 0o7777);
}

/** A file or a folder. */
export async function syncAt(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function forbidden(path: string, what: 'read' | 'written', cause: unknown): ZddError {
  return new ZddError('ZDD_HAPROXY_CONFIG_INVALID', `${path} may not be ${what} by the agent.`, {
    evidence: [['error', cause instanceof Error ? cause.message : String(cause)]],
    traffic: 'unchanged',
    tries: [`namei -l ${path}`, 'zdd-agent doctor'],
    cause,
  });
}

export function isBlank(text: string | undefined): boolean {
  return text === undefined || text.trim() === '';
}

function isMissing(error: unknown): boolean {
  return errnoOf(error) === 'ENOENT';
}

export function errnoOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

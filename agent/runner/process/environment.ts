import { lstat, mkdir, stat, unlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname } from 'node:path';
import { ZddError } from '../../protocol/errors.ts';
import type { InstanceSpec } from '../runner.ts';
import { isPortFree, portInUse } from './listener.ts';

/** HAProxy refuses longer paths in `unix@` addresses (measured; the kernel's own limit is 107). */
export const SOCKET_PATH_LIMIT = 97;

/** What every process gets beside its own variables. */
export function baseEnvironment(path: string): Record<string, string> {
  return { PATH: path, HOME: homedir(), LANG: process.env['LANG'] ?? 'C.UTF-8' };
}

/**
 * The whole environment of an instance. Nothing of the daemon's own goes in. With activation the
 * only word on where to listen is fd 3, so that no app binds the same place a second time.
 */
export function environmentOf(spec: InstanceSpec, path: string): Record<string, string> {
  return { ...baseEnvironment(path), ...spec.env, ZDD_SLOT: spec.slot, ...listenVariables(spec) };
}

/**
 * Makes the place ready: the folder of the socket exists and no stale socket is in the way, the
 * port is free.
 * @throws ZDD_START_FAILED, ZDD_PORT_IN_USE
 */
export async function preparePlace(spec: InstanceSpec): Promise<void> {
  await requireFolder(spec);
  const { listen } = spec;
  if (listen.kind === 'tcp' && !listen.activation && !(await isPortFree(listen.port))) {
    throw portInUse(listen.port);
  }
  if (listen.kind !== 'unix') return;
  const bytes = Buffer.byteLength(listen.path);
  if (bytes > SOCKET_PATH_LIMIT) {
    throw new ZddError(
      'ZDD_START_FAILED',
      `the socket path of ${spec.slot} has ${bytes} bytes; HAProxy takes at most ${SOCKET_PATH_LIMIT}`,
      { evidence: [['path', listen.path]], tries: ['use a shorter run directory or app name'] },
    );
  }
  await mkdir(dirname(listen.path), { recursive: true, mode: 0o750 });
  // With activation the new socket is renamed over the old one, without a moment in between.
  if (!listen.activation) await removeSocket(listen.path);
}

/** Removes a socket; nothing when there is none. @throws ZDD_START_FAILED for another kind of file */
export async function removeSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new ZddError('ZDD_START_FAILED', `${path} is in the way and is not a socket`, {
      tries: [`ls -l ${path}`],
    });
  }
  await unlink(path).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  });
}

async function requireFolder({ slot, cwd }: InstanceSpec): Promise<void> {
  const found = await stat(cwd).catch(() => undefined);
  if (found?.isDirectory() === true) return;
  throw new ZddError('ZDD_START_FAILED', `${slot} cannot start in ${cwd}: there is no such folder`);
}

function listenVariables({ listen }: InstanceSpec): Record<string, string> {
  switch (listen.kind) {
    case 'none':
      return {};
    case 'unix':
      return listen.activation ? {} : { ZDD_SOCKET: listen.path, SOCKET: listen.path };
    case 'tcp':
      return listen.activation ? {} : { PORT: String(listen.port), HOST: '127.0.0.1' };
  }
}

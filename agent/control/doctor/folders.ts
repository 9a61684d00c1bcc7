import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import type { Finding } from '../../protocol/api.ts';
import type { Daemon } from '../daemon.ts';
import { error, ok, warning } from './finding.ts';

/** Who may read and write what the agent keeps. */
export async function examineFolders(daemon: Daemon): Promise<Finding[]> {
  const { layout } = daemon.host;
  const { socket, stateDir, socketsDir } = daemon.settings.current;
  const found = await Promise.all([
    secret(layout.database, '600'),
    secret(layout.artifacts, '700'),
    door(socket),
    writable(stateDir),
    reachable(socketsDir),
  ]);
  const wrong = found.flat();
  return wrong.length > 0 ? wrong : [ok('folders', `owners and modes in ${stateDir} are right`)];
}

async function secret(path: string, mode: string): Promise<Finding[]> {
  const found = await stat(path).catch(() => null);
  if (found === null || (found.mode & 0o077) === 0) return [];
  return [
    warning(
      'folder_mode',
      `${path} may be read by others (mode ${octal(found.mode)}): it holds environments and releases`,
      `sudo chmod ${mode} ${path}`,
    ),
  ];
}

async function door(socket: string): Promise<Finding[]> {
  const found = await stat(socket).catch(() => null);
  if (found === null || (found.mode & 0o007) === 0) return [];
  return [
    error(
      'socket_mode',
      `everybody on this host may deploy: ${socket} has mode ${octal(found.mode)}`,
      `sudo chmod 660 ${socket}`,
    ),
  ];
}

async function writable(folder: string): Promise<Finding[]> {
  return await access(folder, constants.W_OK | constants.X_OK).then(
    () => [],
    () => [
      error(
        'folder_not_writable',
        `the agent may not write ${folder}`,
        'sudo systemd-tmpfiles --create zdd-agent.conf',
        `findmnt -T ${folder}`,
      ),
    ],
  );
}

async function reachable(folder: string): Promise<Finding[]> {
  const found = await stat(folder).catch(() => null);
  if (found?.isDirectory() === true) return [];
  return [
    error(
      'sockets_folder',
      `${folder}, where the instances listen, is missing`,
      'sudo systemd-tmpfiles --create',
    ),
  ];
}

function octal(mode: number): string {
  return `0${(mode & 0o777).toString(8)}`;
}

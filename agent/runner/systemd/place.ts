import { stat } from 'node:fs/promises';
import { ZddError } from '../../protocol/errors.ts';
import { SOCKET_PATH_LIMIT } from '../process/environment.ts';
import { isPortFree, portInUse } from '../process/listener.ts';
import type { InstanceSpec } from '../runner.ts';

/**
 * Checks that an instance has its folder and its place to listen, before anything is written. What
 * is in the way of a socket the start script removes: it is in a folder of the app's user.
 * @throws ZDD_START_FAILED, ZDD_PORT_IN_USE
 */
export async function requirePlace(spec: InstanceSpec): Promise<void> {
  const { slot, cwd, listen } = spec;
  const found = await stat(cwd).catch(() => undefined);
  if (found?.isDirectory() !== true) {
    throw new ZddError(
      'ZDD_START_FAILED',
      `${slot} cannot start in ${cwd}: there is no such folder`,
    );
  }
  if (listen.kind === 'tcp' && !(await isPortFree(listen.port))) throw portInUse(listen.port);
  if (listen.kind !== 'unix') return;
  const bytes = Buffer.byteLength(listen.path);
  if (bytes <= SOCKET_PATH_LIMIT) return;
  throw new ZddError(
    'ZDD_START_FAILED',
    `the socket path of ${slot} has ${bytes} bytes; HAProxy takes at most ${SOCKET_PATH_LIMIT}`,
    { evidence: [['path', listen.path]], tries: ['use a shorter app name or sockets_dir'] },
  );
}

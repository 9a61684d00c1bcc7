import { ZddError } from '../../agent/protocol/errors.ts';
import type { Connection } from './connection.ts';
import { overHttp } from './http/over-http.ts';
import { notUnderstood, silent, unreachable } from './unreachable.ts';

/** A path longer than this cannot be the address of a unix socket on Linux, bytes. */
const MAX_PATH = 107;

/** The agent on this machine, over its unix socket. One connection for each request. */
export function localSocket(path: string): Connection {
  if (Buffer.byteLength(path) > MAX_PATH) {
    throw new ZddError('ZDD_USAGE', `a unix socket has a path of at most ${MAX_PATH} bytes`, {
      evidence: [['socket', path]],
    });
  }
  return overHttp({
    where: path,
    canBeCut: false,
    reuses: false,
    ready: async () => {},
    dial: () => ({ socketPath: path, agent: false }),
    unreachable: (cause) => unreachable(path, cause),
    silent: (deadlineMs) => silent(path, deadlineMs),
    notUnderstood: (request, why) => notUnderstood(path, request, why),
    close: () => {},
  });
}

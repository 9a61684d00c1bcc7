import type { LogLine } from './format.ts';

/**
 * What a line says about the release that got the request.
 * - `answered`: it did, below 500; its wait is judged.
 * - `failed`: it did not, or with 5xx: refused, reset, cut, timed out, dangerous to pass on.
 * - `aborted`: the client left first. Nobody's fault that a log could tell.
 * - `websocket`: an upgraded connection; how long it lived says nothing.
 * - `elsewhere`: no server of the release had to do with it: denied, answered by HAProxy itself,
 *   ended by an admin.
 */
export type Meaning = 'answered' | 'failed' | 'aborted' | 'websocket' | 'elsewhere';

/** The server HAProxy names when it has chosen none. */
export const NO_SERVER = '<NOSRV>';

/** Judges a line by HAProxy's two letters for how a stream ended ("Session state at disconnection"). */
export function meaningOf({ server, status, end }: LogLine): Meaning {
  if (server === NO_SERVER) return 'elsewhere';
  if (status === 101) return 'websocket';
  switch (end[0]) {
    case 'C':
    case 'c':
      return 'aborted';
    case 'S':
    case 's':
    // D: its server went down under it. I, R: HAProxy ran out of something with it.
    case 'D':
    case 'I':
    case 'R':
      return 'failed';
    case 'P':
      // PH, PD: the answer was not valid HTTP. PR: the request was denied.
      return end[1] === 'R' ? 'elsewhere' : 'failed';
    case 'L':
    case 'K':
    case 'U':
      return 'elsewhere';
    default:
      return status >= 500 || status < 0 ? 'failed' : 'answered';
  }
}

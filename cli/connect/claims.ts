import { CLI_HEADER, OWNER_HEADER } from '../../agent/protocol/contact.ts';
import manifest from '../../package.json' with { type: 'json' };
import { ownerOf } from '../owner.ts';

let headers: Readonly<Record<string, string>> | null = null;

/** What every request says of who sends it, for the agent's audit. */
export function claims(): Readonly<Record<string, string>> {
  headers ??= {
    // Headers take no other characters.
    [OWNER_HEADER]: ownerOf().replace(/[^\x20-\x7e]/g, '?'),
    [CLI_HEADER]: manifest.version,
  };
  return headers;
}

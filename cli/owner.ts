import { hostname, userInfo } from 'node:os';

/** Who asks and from where, for the lock and the audit: `deploy@laptop`. */
export function ownerOf(): string {
  return `${userName()}@${hostname()}`.slice(0, 200);
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run under a number that has no name.
    return String(process.getuid?.() ?? 'unknown');
  }
}

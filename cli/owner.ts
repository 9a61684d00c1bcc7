import { hostname, userInfo } from 'node:os';

/** Who asks and from where, for the lock and the audit: `deploy@laptop`. */
export function ownerOf(): string {
  return `${userName()}@${hostname()}`.slice(0, 200);
}

/** The user's name on this machine, or the number where a container gives none a name. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
}

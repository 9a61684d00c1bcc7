import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';

/** How long the question may take, ms. */
const ASK_MS = 5_000;
/**
 * SO_PEERCRED of descriptor 3 (SOL_SOCKET 1, SO_PEERCRED 17: the same on every Linux that Node runs
 * on): pid, uid, gid of who has connected, at the moment it did. Node has no getsockopt; Perl is part
 * of every Debian (perl-base is essential).
 */
const QUESTION =
  'open(my $s, "+<&=", 3) or exit 1; print join " ", unpack("iII", getsockopt($s, 1, 17));';

/**
 * The user at the other end of a unix socket, as the kernel says.
 * @returns null when that cannot be found out
 */
export async function peerUid(socket: Socket): Promise<number | null> {
  const fd = descriptorOf(socket);
  if (fd === null) return null;
  try {
    // Not as 0, 1 or 2: those are made blocking for a child, and with them ours.
    const child = spawn('perl', ['-e', QUESTION], {
      stdio: ['ignore', 'pipe', 'ignore', fd],
      timeout: ASK_MS,
    });
    let said = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await once(child, 'close');
    const uid = /^\d+ (\d+) \d+$/.exec(said)?.[1];
    return uid === undefined ? null : Number(uid);
  } catch {
    // No Perl here, or no process to be had: the audit says less.
    return null;
  }
}

function descriptorOf(socket: Socket): number | null {
  if (!('_handle' in socket)) return null;
  const handle = socket._handle;
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return null;
  return typeof handle.fd === 'number' && handle.fd > 2 ? handle.fd : null;
}

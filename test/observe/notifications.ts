import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const DEADLINE_MS = 30_000;

// Node has no datagram sockets in the file system; perl is on every Debian.
const RECEIVER = `
use strict; use Socket; $| = 1;
my $s;
socket($s, AF_UNIX, SOCK_DGRAM, 0) && bind($s, sockaddr_un($ARGV[0])) or die "$!";
print "listening\\n";
while (defined recv($s, my $message, 65536, 0)) { $message =~ s/\\n/|/g; print "$message\\n"; }
`;

/** What systemd would hear on NOTIFY_SOCKET. */
export interface Notifications {
  readonly path: string;
  /** Each message; a line break within one is shown as `|`. */
  readonly messages: readonly string[];
  /** Resolves once this message has arrived. */
  includes(message: string): Promise<void>;
  stop(): Promise<void>;
}

/** Listens as systemd does, on a socket at `path`. */
export async function listenToNotifications(path: string): Promise<Notifications> {
  const receiver = spawn('perl', ['-e', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const messages: string[] = [];
  const lines = createInterface(receiver.stdout);
  const ended = once(receiver, 'exit');
  if ((await Promise.race([once(lines, 'line'), ended]))[0] !== 'listening') {
    throw new Error('the receiver of notifications does not start');
  }
  lines.on('line', (line) => messages.push(line));
  return {
    path,
    messages,
    async includes(message) {
      const deadline = performance.now() + DEADLINE_MS;
      while (!messages.includes(message)) {
        if (performance.now() > deadline) {
          throw new Error(`never heard ${message}, but: ${messages.join(' ')}`);
        }
        await sleep(10);
      }
    },
    async stop() {
      if (receiver.exitCode === null && receiver.kill()) await ended;
    },
  };
}

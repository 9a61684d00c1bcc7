import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { SshLogin, Verified } from '../protocol/audit.ts';
import { userName } from './users.ts';

const run = promisify(execFile);
/** Nobody waits for this: it is for the audit alone, ms. */
const JOURNAL_MS = 5_000;
/** A login older than this is not looked for, s. */
const LOOK_BACK_S = 24 * 3_600;
/** Lines of sshd that are looked at, newest first: more than a day of a busy host. */
const MAX_LINES = 5_000;
/** What was read is good for this long, so that a burst of requests asks once, ms. */
const FRESH_MS = 1_000;
/** A session may have ended a moment before what it did is looked at, ms. */
const JUST_ENDED_MS = 3_000;

/** One session as sshd has written it down. */
interface Session extends SshLogin {
  readonly user: string;
  readonly pid: string;
  readonly since: number;
  /** ms since the epoch; null: it is still open. */
  until: number | null;
}

/**
 * Who somebody is whom the kernel knows by number: the name, and the keys with which this user was
 * logged in at that moment.
 * @param at ms since the epoch
 */
export async function identify(uid: number, at: number): Promise<Verified> {
  const user = await userName(uid);
  const sessions = (await recentSessions()).filter(
    (session) =>
      session.user === user &&
      session.since <= at + JUST_ENDED_MS &&
      (session.until === null || session.until >= at - JUST_ENDED_MS),
  );
  const ssh = new Map(
    sessions.map(({ fingerprint, from }) => [`${fingerprint} ${from}`, { fingerprint, from }]),
  );
  return { uid, user, ssh: [...ssh.values()] };
}

let last: { readonly at: number; readonly sessions: Promise<Session[]> } | null = null;

function recentSessions(): Promise<Session[]> {
  const now = performance.now();
  if (last === null || now - last.at > FRESH_MS) last = { at: now, sessions: readSessions() };
  return last.sessions;
}

/** None where sshd's log cannot be read: then the audit says less, and nothing else fails. */
async function readSessions(): Promise<Session[]> {
  try {
    const { stdout } = await run(
      'journalctl',
      [
        '--quiet',
        '--no-pager',
        '--output=json',
        '--output-fields=MESSAGE,_PID',
        `--since=-${LOOK_BACK_S}`,
        `--lines=${MAX_LINES}`,
        // Fields that journald itself has filled in: anybody may write lines that look like sshd's.
        '_UID=0',
        '_COMM=sshd',
        '+',
        '_UID=0',
        '_COMM=sshd-session',
      ],
      { timeout: JOURNAL_MS, maxBuffer: 16 << 20 },
    );
    return sessionsOf(stdout);
  } catch {
    return [];
  }
}

/** Reads sshd's lines, oldest first, one JSON object a line. Exported for tests. */
export function sessionsOf(lines: string): Session[] {
  const sessions: Session[] = [];
  for (const line of lines.split('\n')) {
    const entry = entryOf(line);
    if (entry === null) continue;
    const { at, pid, message } = entry;
    const accepted =
      /^Accepted publickey for (\S+) from (\S+) port \d+ ssh2: .*?\b(SHA256:[A-Za-z0-9+/]+)/.exec(
        message,
      );
    if (accepted !== null) {
      const [, user = '', from = '', fingerprint = ''] = accepted;
      sessions.push({ user, from, fingerprint, pid, since: at, until: null });
    } else if (/\bsession closed for user \S+/.test(message)) {
      const closed = sessions.findLast((session) => session.pid === pid && session.until === null);
      if (closed !== undefined) closed.until = at;
    }
  }
  return sessions;
}

function entryOf(line: string): { at: number; pid: string; message: string } | null {
  if (line === '') return null;
  const entry: unknown = JSON.parse(line);
  if (typeof entry !== 'object' || entry === null) return null;
  const fields = new Map(Object.entries(entry));
  const message = fields.get('MESSAGE');
  if (typeof message !== 'string') return null;
  const at = Number(fields.get('__REALTIME_TIMESTAMP')) / 1_000;
  return { at, pid: String(fields.get('_PID')), message };
}

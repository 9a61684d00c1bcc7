import type { Readable } from 'node:stream';
import { ZddError } from '../../protocol/errors.ts';
import { orAborted, pause } from '../process/wait.ts';
import type { ExecSession } from '../runner.ts';
import { makePipes, openPipes, type Pipes } from './pipes.ts';

/** How long a session may take from being asked for to its first process, ms. */
const BEGIN_MS = 30_000;
/** How often a session that is to end is looked at, ms. */
const LOOK_MS = 200;
/** Of the time that a session gets to end: how much of it follows SIGHUP, before SIGTERM. */
const HANGUP_SHARE = 0.3;
/** What a busy machine may take longer to look, ms. */
const LATE_MS = 60_000;
/** More than the two lines that are told, bytes. */
const STATUS_BYTES = 200;

/** How a runner runs the `start` script of a session. */
export interface ExecLauncher {
  /** Resolves when it has been asked for. @throws ZDD_EXEC_FAILED when it cannot be */
  launch(signal: AbortSignal): Promise<void>;
  /** Resolves, if ever, with why it ended before it began. */
  failure(signal: AbortSignal): Promise<string>;
  /** To every process of it. */
  kill(signal: 'SIGHUP' | 'SIGTERM'): Promise<void>;
  /** Whether no process of it is left. */
  isGone(): Promise<boolean>;
  /** SIGKILL to whatever is left, and forgets everything of it. May be repeated. */
  finish(): Promise<void>;
}

/**
 * Begins a session whose scripts are in `folder`.
 * @throws ZDD_EXEC_FAILED, with nothing left of it; the reason of `signal`
 */
export async function openSession(
  folder: string,
  launcher: ExecLauncher,
  signal: AbortSignal,
): Promise<ExecSession> {
  let pipes: Pipes | undefined;
  try {
    await makePipes(folder);
    pipes = openPipes(folder);
    const status = statusOf(pipes.status);
    await launcher.launch(signal);
    await untilBegun(status.began, launcher, signal);
    pipes.letGo();
    return session(pipes, status.ended, launcher);
  } catch (error) {
    await launcher.finish();
    pipes?.destroy();
    throw error;
  }
}

async function untilBegun(
  began: Promise<void>,
  launcher: ExecLauncher,
  signal: AbortSignal,
): Promise<void> {
  const waiting = new AbortController();
  const late = AbortSignal.any([waiting.signal, AbortSignal.timeout(BEGIN_MS)]);
  const failed = launcher.failure(late).then(
    (why) => Promise.reject(couldNotBegin(why)),
    () => Promise.reject(couldNotBegin(`nothing began within ${BEGIN_MS / 1_000}s`)),
  );
  try {
    await orAborted(Promise.race([began, failed]), signal);
  } finally {
    waiting.abort();
  }
}

function session(pipes: Pipes, ended: Promise<number | null>, launcher: ExecLauncher): ExecSession {
  const { stdin, stdout, stderr, size } = pipes;
  let ending: Promise<void> | undefined;
  let over = false;
  ended.then(() => {
    over = true;
  });
  const isGone = async () => over && (await launcher.isGone());
  const waitUntil = async (deadline: number, signal: AbortSignal): Promise<void> => {
    while (performance.now() < deadline && !(await isGone())) await pause(LOOK_MS, signal);
  };
  const end = async (graceMs: number): Promise<void> => {
    const now = performance.now();
    const signal = AbortSignal.timeout(graceMs + LATE_MS);
    if (graceMs > 0) {
      await launcher.kill('SIGHUP');
      // One that has something to do on SIGHUP would be ended by SIGTERM in the middle of it.
      await waitUntil(now + graceMs * HANGUP_SHARE, signal);
      if (!(await isGone())) await launcher.kill('SIGTERM');
    }
    await waitUntil(now + graceMs, signal);
    await launcher.finish();
    stdin.destroy();
    size.destroy();
  };
  return {
    stdin,
    stdout,
    stderr,
    ended,
    resize({ rows, columns }) {
      if (!size.destroyed) size.write(`${rows} ${columns}\n`);
    },
    end(graceMs) {
      ending ??= end(graceMs);
      return ending;
    },
    release: () => pipes.destroy(),
  };
}

/** Reads what the `start` script tells. What else comes there is somebody else's, and no matter. */
function statusOf(stream: Readable): { began: Promise<void>; ended: Promise<number | null> } {
  const began = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<number | null>();
  let text = '';
  stream.setEncoding('latin1');
  stream.on('data', (piece: string) => {
    text = (text + piece).slice(0, STATUS_BYTES);
    if (text.startsWith('began\n')) began.resolve();
    const code = /^began\nended (\d{1,3})\n/.exec(text)?.[1];
    if (code !== undefined) ended.resolve(Number(code));
  });
  stream.on('close', () => ended.resolve(null));
  return { began: began.promise, ended: ended.promise };
}

function couldNotBegin(why: string): ZddError {
  return new ZddError('ZDD_EXEC_FAILED', 'the command could not be begun', {
    evidence: [['why', why]],
    traffic: 'untouched',
    tries: ['zdd-agent doctor'],
  });
}

import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ZddError } from '../protocol/errors.ts';
import { refusalOf } from './refusal.ts';
import { type Conversation, converse, type Endpoint } from './runtime.ts';
import { type Processes, parseProcesses } from './tables.ts';

/** How often a refused master socket is tried again, ms. */
const RETRY_MS = 10;
/** A connection caught by a re-execution may hang for good, ms; a new one is answered at once. */
const ATTEMPT_MS = 1_000;

/**
 * Talks to the master. While it re-executes itself its socket refuses (33 of 263 connects in 400
 * ms, measured), or accepts and resets, or says nothing: tried again until `deadlineMs` has passed.
 * `talk` may run more than once: let it only read, or be idempotent.
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function askMaster<T>(
  endpoint: Endpoint,
  signal: AbortSignal,
  talk: (conversation: Conversation) => Promise<T>,
  deadlineMs: number = endpoint.commandMs,
): Promise<T> {
  const until = performance.now() + deadlineMs;
  const attempt = { ...endpoint, commandMs: Math.min(endpoint.commandMs, ATTEMPT_MS) };
  for (;;) {
    try {
      return await converse(attempt, signal, talk);
    } catch (error) {
      const retry =
        error instanceof ZddError &&
        (error.code === 'ZDD_HAPROXY_DOWN' || error.code === 'ZDD_HAPROXY_TIMEOUT');
      if (!retry || performance.now() > until) throw error;
      await pause(signal, error);
    }
  }
}

/** Ends with `failure` when the time of `signal` is up: that says what was waited for. */
async function pause(signal: AbortSignal, failure: ZddError): Promise<void> {
  try {
    await sleep(RETRY_MS, undefined, { signal });
  } catch {
    const { reason } = signal;
    throw reason instanceof DOMException && reason.name === 'TimeoutError' ? failure : reason;
  }
}

/** The master's process table. @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT */
export async function showProcesses(
  endpoint: Endpoint,
  signal: AbortSignal,
  deadlineMs?: number,
): Promise<Processes> {
  return askMaster(
    endpoint,
    signal,
    async ({ ask }) => parseProcesses(await ask('show proc')),
    deadlineMs,
  );
}

/**
 * Asks one worker, by pid, through the master: the only way to an old worker.
 * @returns undefined when that worker has ended
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function askWorker<T>(
  endpoint: Endpoint,
  pid: number,
  signal: AbortSignal,
  talk: (ask: (command: string) => Promise<string>) => Promise<T>,
): Promise<T | undefined> {
  const until = performance.now() + endpoint.commandMs;
  for (;;) {
    try {
      return await converse(endpoint, signal, ({ ask }) =>
        talk(async (command) => {
          const answer = await ask(`@!${pid} ${command}`);
          if (refusalOf(answer) === 'no_such_worker') throw new WorkerEnded();
          return answer;
        }),
      );
    } catch (error) {
      if (error instanceof WorkerEnded) return undefined;
      if (!(error instanceof ZddError) || error.code === 'ZDD_HAPROXY_TIMEOUT') throw error;
      // When the worker ends the master closes the connection, or passes half an answer on.
      const { current, old } = await showProcesses(endpoint, signal);
      if (![current, ...old].some((worker) => worker?.pid === pid)) return undefined;
      if (performance.now() > until) throw error;
      await pause(signal, error);
    }
  }
}

class WorkerEnded extends Error {}

/**
 * Sends `reload` and waits until the master has closed the connection, which it does by executing
 * itself anew. 2.6 answers nothing; from 2.7 on the answer ends with the startup's words.
 * @returns what the master said, `''` on 2.6
 */
export async function sendReload(endpoint: Endpoint, signal: AbortSignal): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect(endpoint.path);
  const deadline = setTimeout(() => socket.destroy(), endpoint.commandMs);
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  let said = '';
  socket.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8');
  });
  // An error here says as little as silence: whether it reloads is read from `show proc`.
  socket.on('error', () => resolve(said));
  socket.on('close', () => resolve(said));
  socket.end('reload\n');
  return promise.finally(() => {
    clearTimeout(deadline);
    signal.removeEventListener('abort', onAbort);
    socket.destroy();
  });
}

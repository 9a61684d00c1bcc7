import { spawn } from 'node:child_process';
import { mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ZddError } from '../protocol/errors.ts';
import { renderComplete } from './config/complete.ts';
import { writeConfig } from './config/draft.ts';
import { readConfig } from './config/file.ts';
import { findRegion, replaceRegion } from './config/region.ts';
import { renderWith } from './context.ts';
import { showProcesses } from './master.ts';
import type { ResolvedOptions } from './options.ts';
import {
  isAlive,
  type ProcessRecord,
  readRecord,
  startTimeOf,
  writeRecord,
} from './process-record.ts';
import type { Endpoint } from './runtime.ts';
import { isNear } from './worker.ts';

/** How long a HAProxy has from its start to its first answer, ms. */
const START_MS = 15_000;
const POLL_MS = 20;
/** More than a master needs to execute itself anew, ms. */
const REEXEC_MS = 500;
/** How often the watch looks whether it still runs, ms. */
const WATCH_MS = 250;
/** The pause after a failed start; doubled each time up to the limit, ms. */
const FIRST_PAUSE_MS = 250;
const LAST_PAUSE_MS = 10_000;
const MAX_LOG_BYTES = 1 << 20;
const LAST_WORDS_BYTES = 2_000;

/** A private HAProxy that outlives the daemon. */
export interface Embedded {
  /**
   * Finds the running HAProxy again or starts one, and waits until it answers.
   * @throws ZDD_HAPROXY_DOWN with its last words, ZDD_HAPROXY_CONFIG_INVALID, ZDD_HAPROXY_TIMEOUT
   */
  ensure(signal: AbortSignal): Promise<void>;
  /** From now on a HAProxy that dies is started again. */
  watch(): void;
  lastWords(): Promise<string>;
  /** Ends the watch; HAProxy runs on. */
  close(): void;
}

/** Does not start anything yet. */
export function createEmbedded(
  options: ResolvedOptions,
  admin: Endpoint,
  master: Endpoint,
): Embedded {
  const recordPath = join(options.workDir, 'haproxy.process.json');
  const logPath = join(options.workDir, 'haproxy.log');
  const closing = new AbortController();
  let record: ProcessRecord | undefined;
  let running: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let pauseMs = 0;
  let notBefore = 0;

  async function find(signal: AbortSignal): Promise<boolean> {
    record ??= await readRecord(recordPath);
    if (record !== undefined && (await isAlive(record))) return true;
    // The daemon may have been killed between starting HAProxy and writing that down.
    const processes = await showProcesses(master, signal, 0).catch(() => undefined);
    if (processes === undefined) return false;
    const startTime = await startTimeOf(processes.master);
    if (startTime === undefined) return false;
    record = { pid: processes.master, startTime };
    await writeRecord(recordPath, record);
    return true;
  }

  /** Somebody removed it: the master makes it again when it executes itself anew, by a reload. */
  async function mendMasterSocket(signal: AbortSignal): Promise<void> {
    const isThere = (): Promise<boolean> =>
      stat(options.masterSocket).then(
        () => true,
        () => false,
      );
    if (await isThere()) return;
    // A reload that is under way has removed it for a moment.
    await sleep(REEXEC_MS, undefined, { signal });
    if (record === undefined || (await isThere()) || !(await isAlive(record))) return;
    options.log('warn', 'the master socket is gone; haproxy is reloaded to make it again', {});
    process.kill(record.pid, 'SIGUSR2');
  }

  async function start(signal: AbortSignal): Promise<void> {
    await mkdir(options.workDir, { recursive: true, mode: 0o700 });
    await mkdir(dirname(options.adminSocket), { recursive: true });
    await mkdir(dirname(options.masterSocket), { recursive: true });
    await writeFirstConfig(options, signal);
    await limitLog(logPath);
    const output = await open(logPath, 'a', 0o600);
    try {
      const child = spawn(
        options.binary,
        ['-W', '-S', `${options.masterSocket},mode,600`, '-f', options.configPath],
        // Its own session and no pipe to us, or it would end with the daemon.
        { detached: true, stdio: ['ignore', output.fd, output.fd], cwd: '/' },
      );
      const failure = Promise.withResolvers<never>();
      failure.promise.catch(() => undefined);
      child.once('error', (error) => failure.reject(cannotStart(options, error.message)));
      child.once('exit', (code) =>
        lastWords(logPath).then((words) =>
          failure.reject(cannotStart(options, `exit ${code}\n${words}`)),
        ),
      );
      child.unref();
      if (child.pid !== undefined) {
        const startTime = await startTimeOf(child.pid);
        if (startTime !== undefined) {
          record = { pid: child.pid, startTime };
          await writeRecord(recordPath, record);
        }
      }
      if (!(await Promise.race([answers(signal), failure.promise]))) await failure.promise;
    } finally {
      await output.close();
    }
    options.log('info', 'haproxy started', { pid: record?.pid });
  }

  /** Waits until it answers. @returns false when it has died instead */
  async function answers(signal: AbortSignal): Promise<boolean> {
    const until = performance.now() + START_MS;
    for (;;) {
      try {
        const { current } = await showProcesses(master, signal, 0);
        // A worker whose master was killed may still answer while it goes.
        if (current !== undefined && (await isNear({ admin, master }, current.pid, signal))) {
          return true;
        }
      } catch (error) {
        const early =
          error instanceof ZddError &&
          (error.code === 'ZDD_HAPROXY_DOWN' || error.code === 'ZDD_HAPROXY_TIMEOUT');
        if (!early || performance.now() > until) throw error;
      }
      if (record === undefined || !(await isAlive(record))) return false;
      if (performance.now() > until) throw cannotStart(options, 'its worker does not answer');
      await sleep(POLL_MS, undefined, { signal });
    }
  }

  function ensure(signal: AbortSignal): Promise<void> {
    // One at a time: two HAProxys could share the port by SO_REUSEPORT and split the traffic.
    running ??= (async () => {
      const runs = await find(signal);
      if (runs) await mendMasterSocket(signal);
      if (!(runs && (await answers(signal)))) await start(signal);
      pauseMs = 0;
    })().finally(() => {
      running = undefined;
    });
    return running;
  }

  async function look(): Promise<void> {
    if (running !== undefined || performance.now() < notBefore) return;
    if (record !== undefined && (await isAlive(record))) return;
    options.log('error', 'haproxy has died; starting it again', { pid: record?.pid });
    record = undefined;
    try {
      await ensure(closing.signal);
    } catch (error) {
      if (closing.signal.aborted) return;
      pauseMs = Math.min(LAST_PAUSE_MS, pauseMs === 0 ? FIRST_PAUSE_MS : pauseMs * 2);
      notBefore = performance.now() + pauseMs;
      options.log('error', 'haproxy could not be started', {
        error: error instanceof Error ? error.message : String(error),
        nextInMs: pauseMs,
      });
    }
  }

  return {
    ensure,
    watch() {
      timer ??= setInterval(() => void look(), WATCH_MS).unref();
    },
    lastWords: () => lastWords(logPath),
    close() {
      closing.abort();
      clearInterval(timer);
    },
  };
}

/**
 * Stops an embedded HAProxy at once, workers and all; for who tears the whole down. Does nothing
 * when none runs. @throws ZDD_HAPROXY_TIMEOUT when it does not end
 */
export async function stopEmbedded(workDir: string, timeoutMs = 10_000): Promise<void> {
  const record = await readRecord(join(workDir, 'haproxy.process.json'));
  if (record === undefined || !(await isAlive(record))) return;
  process.kill(record.pid, 'SIGTERM');
  const until = performance.now() + timeoutMs;
  while (await isAlive(record)) {
    if (performance.now() > until) {
      throw new ZddError('ZDD_HAPROXY_TIMEOUT', `HAProxy (pid ${record.pid}) does not end.`, {
        tries: [`kill -9 ${record.pid}`],
      });
    }
    await sleep(POLL_MS);
  }
}

async function writeFirstConfig(options: ResolvedOptions, signal: AbortSignal): Promise<void> {
  const text = (await readConfig(options.configPath)) ?? renderComplete(options);
  if (findRegion(text) !== undefined) return;
  const region = renderWith(
    options,
    { apps: [] },
    { chroot: undefined, folder: dirname(options.configPath) },
  );
  await writeConfig(options.configPath, replaceRegion(text, region.text), options.binary, signal);
}

async function limitLog(path: string): Promise<void> {
  const size = (await stat(path).catch(() => undefined))?.size ?? 0;
  if (size > MAX_LOG_BYTES) await rename(path, `${path}.1`);
}

async function lastWords(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text
    .slice(-LAST_WORDS_BYTES)
    .split('\n')
    .filter((line) => /^\[(ALERT|WARNING)\]/.test(line))
    .slice(-8)
    .join('\n');
}

function cannotStart(options: ResolvedOptions, why: string): ZddError {
  return new ZddError('ZDD_HAPROXY_DOWN', 'HAProxy could not be started.', {
    evidence: [['HAProxy says', why]],
    tries: [`${options.binary} -c -f ${options.configPath}`, 'apt-get install haproxy'],
  });
}

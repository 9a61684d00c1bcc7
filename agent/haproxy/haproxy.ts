import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { ZddError } from '../protocol/errors.ts';
import { createAccessLog } from './access-log/access-log.ts';
import { applyDesired } from './apply.ts';
import { requireVersion } from './capabilities.ts';
import { sweepConfig } from './config/file.ts';
import { closeConnections, countConnections, listConnections, listLong } from './connections.ts';
import type { Context } from './context.ts';
import { createEmbedded } from './embedded.ts';
import { withGrace } from './grace.ts';
import { inspectProxy } from './inspect.ts';
import { showProcesses } from './master.ts';
import { observeProcess } from './observe.ts';
import { type ProxyOptions, resolveOptions } from './options.ts';
import { claimHaproxy } from './ownership.ts';
import { previewRegion } from './preview.ts';
import type { Haproxy, ProxyInfo } from './proxy.ts';
import type { Endpoint } from './runtime.ts';
import { mirror } from './shadow/mirror.ts';
import { countHeld, readCounters } from './stats.ts';
import { StreamsCache } from './streams-cache.ts';
import { Switching } from './switch-by.ts';
import { requireTls } from './tls/room.ts';
import { tryCertificate } from './tls/trial.ts';
import { onCurrentWorker, untilOneStays } from './worker.ts';

export { stopEmbedded } from './embedded.ts';
export type { LogLevel, ProxyOptions } from './options.ts';

/** How often a reload that waits for an old worker to end is tried again, ms. */
const WORKERS_POLL_MS = 1_000;
/** How long `haproxy -v` may take, ms. */
const VERSION_MS = 10_000;
/** How much longer a change goes on after it was given up, ms. A switch takes about 50. */
const GRACE_MS = 1_500;

/** The proxy room: HAProxy as the rest of the daemon sees it. Does nothing before `open`. */
export function createProxy(given: ProxyOptions): Haproxy {
  const accessLog = createAccessLog(given, given.now ?? Date.now);
  const options = resolveOptions(given, accessLog.place);
  const { commandMs } = options;
  const admin: Endpoint = { kind: 'admin', path: options.adminSocket, commandMs };
  const master: Endpoint = { kind: 'master', path: options.masterSocket, commandMs };
  const embedded = options.mode === 'embedded' ? createEmbedded(options, admin, master) : undefined;
  const context: Context = {
    options,
    admin,
    master,
    streams: new StreamsCache(),
    switching: new Switching(options),
    known: { running: undefined },
    lastWords: async () => (await embedded?.lastWords()) ?? '',
  };
  let last: Promise<unknown> = Promise.resolve();

  function oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    const next = last.then(work, work);
    last = next.catch(() => undefined);
    return next;
  }

  /** Waits, with others let pass, for an old worker to end when a reload has to. */
  async function patiently<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const until = performance.now() + options.workersMs;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        const waits = error instanceof ZddError && error.code === 'ZDD_HAPROXY_TOO_MANY_WORKERS';
        if (!waits || performance.now() > until) throw error;
        await sleep(WORKERS_POLL_MS, undefined, { signal });
      }
    }
  }

  async function info(signal: AbortSignal): Promise<ProxyInfo> {
    const { version, switchBy } = await onCurrentWorker(context, signal, async (worker, pid) => ({
      version: requireVersion((await observeProcess(worker)).version),
      switchBy: await context.switching.by(worker, pid),
    }));
    const { master: pid, old, reloads } = await showProcesses(master, signal);
    return { version, pid, oldWorkers: old.length, reloads, switchBy };
  }

  return {
    open: (signal) =>
      oneAtATime(async () => {
        requireVersion(await installedVersion(options.binary, signal));
        await claimHaproxy(options);
        await sweepConfig(options.configPath);
        if (options.accessLog) await accessLog.open();
        await embedded?.ensure(signal);
        const found = await info(signal);
        embedded?.watch();
        return found;
      }),
    info,
    apply: (desired, signal, app) =>
      patiently(signal, () =>
        oneAtATime(async () => {
          await claimHaproxy(options);
          await embedded?.ensure(signal);
          const now = typeof desired === 'function' ? desired() : desired;
          return withGrace(signal, GRACE_MS, (late) => applyDesired(context, now, late, app));
        }),
      ),
    inspect: (desired, signal) => untilOneStays(() => inspectProxy(context, desired, signal)),
    requireTls: () => requireTls(options),
    tryCertificate: (pem, signal) => tryCertificate(options.binary, pem, signal),
    preview: (desired) => previewRegion(context, desired),
    connections: (app, servers, signal) => countConnections(context, app, servers, signal),
    openConnections: (app, servers, signal) => listConnections(context, app, servers, signal),
    oldWorkers: async (signal) => {
      const { old } = await showProcesses(master, signal);
      const oldestFirst = old.toSorted((a, b) => b.reloads - a.reloads);
      return { old: oldestFirst.map(({ pid }) => pid), limit: options.maxOldWorkers() };
    },
    longConnections: (worker, signal) => listLong(context, worker, signal),
    closeConnections: (connections, signal) => closeConnections(context, connections, signal),
    counters: async (app, signal) => {
      const counters = await readCounters(context, app, signal);
      accessLog.account(app, counters);
      return counters;
    },
    signals: (app, servers, since) => accessLog.signals(app, servers, since),
    totals: (app, release) => accessLog.totals(app, release),
    logLines: (app) => ({ came: accessLog.lines(app), lost: accessLog.lost(app) }),
    held: (app, signal) => countHeld(context, app, signal),
    keepSignals: () => accessLog.keep(),
    mirror: (wanted, signal) => mirror(context, wanted, signal),
    close: async () => {
      await accessLog.close();
      embedded?.close();
      await last;
    },
  };
}

function installedVersion(binary: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(binary, ['-v'], { timeout: VERSION_MS, signal }, (error, stdout) => {
      const version = /version (\S+)/.exec(stdout)?.[1];
      if (version !== undefined) resolve(version);
      else if (signal.aborted) reject(signal.reason);
      else {
        reject(
          new ZddError('ZDD_HAPROXY_DOWN', 'HAProxy is not installed, or cannot be run.', {
            evidence: [
              ['program', binary],
              ['error', error?.message ?? stdout.slice(0, 300)],
            ],
            tries: ['apt-get install haproxy', `${binary} -v`],
            ...(error === null ? {} : { cause: error }),
          }),
        );
      }
    });
  });
}

import { execFile } from 'node:child_process';
import { ZddError } from '../protocol/errors.ts';
import { createAccessLog } from './access-log/access-log.ts';
import { applyDesired } from './apply.ts';
import { sweepConfig } from './config/file.ts';
import { closeTunnels, countConnections } from './connections.ts';
import type { Context } from './context.ts';
import { createEmbedded } from './embedded.ts';
import { withGrace } from './grace.ts';
import { inspectProxy } from './inspect.ts';
import { showProcesses } from './master.ts';
import { type ProxyOptions, resolveOptions } from './options.ts';
import { previewRegion } from './preview.ts';
import type { Haproxy, ProxyInfo } from './proxy.ts';
import type { Endpoint } from './runtime.ts';
import { readCounters } from './stats.ts';
import { requireVersion } from './tables.ts';
import { observeCurrent } from './worker.ts';

export { stopEmbedded } from './embedded.ts';
export type { LogLevel, ProxyOptions } from './options.ts';

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
    lastWords: async () => (await embedded?.lastWords()) ?? '',
  };
  let last: Promise<unknown> = Promise.resolve();

  function oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    const next = last.then(work, work);
    last = next.catch(() => undefined);
    return next;
  }

  async function info(signal: AbortSignal): Promise<ProxyInfo> {
    const { version } = await observeCurrent(context, signal);
    const processes = await showProcesses(master, signal);
    return {
      version: requireVersion(version),
      pid: processes.master,
      oldWorkers: processes.old.length,
    };
  }

  return {
    open: (signal) =>
      oneAtATime(async () => {
        requireVersion(await installedVersion(options.binary, signal));
        await sweepConfig(options.configPath);
        if (options.accessLog) await accessLog.open();
        await embedded?.ensure(signal);
        const found = await info(signal);
        embedded?.watch();
        return found;
      }),
    info,
    apply: (desired, signal) =>
      oneAtATime(async () => {
        await embedded?.ensure(signal);
        return withGrace(signal, GRACE_MS, (late) => applyDesired(context, desired, late));
      }),
    inspect: (desired, signal) => inspectProxy(context, desired, signal),
    preview: (desired) => previewRegion(context, desired),
    connections: (app, servers, signal) => countConnections(context, app, servers, signal),
    closeWebSockets: (app, servers, count, signal) =>
      closeTunnels(context, app, servers, count, signal),
    counters: async (app, signal) => {
      const counters = await readCounters(context, app, signal);
      accessLog.account(app, counters);
      return counters;
    },
    signals: (app, servers, since) => accessLog.signals(app, servers, since),
    close: async () => {
      accessLog.close();
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

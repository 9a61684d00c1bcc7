import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import type { Server } from 'node:http';
import { dirname } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import manifest from '../../package.json' with { type: 'json' };
import type { Configuration } from '../configuration.ts';
import { listenForScrapes } from '../control/scrape.ts';
import { createServer, listen } from '../control/server.ts';
import { activity } from '../observe/activity.ts';
import { LifeSign } from '../observe/life-sign.ts';
import { createLog, logEvent } from '../observe/log.ts';
import { watchdogIntervalMs } from '../observe/notify.ts';
import { keepSchedules } from '../pipeline/cron/cron.ts';
import type { Host } from '../pipeline/host.ts';
import { sendNotifications } from '../pipeline/notifications/notifications.ts';
import { pause } from '../pipeline/pause.ts';
import { keepIssued } from '../pipeline/tls/acme.ts';
import { keepCertificateFiles } from '../pipeline/tls/files.ts';
import { keepTrue } from '../pipeline/upkeep/keep-true.ts';
import { reconcile } from '../pipeline/upkeep/reconcile.ts';
import { keepFewWorkers } from '../pipeline/upkeep/workers.ts';
import { keepContracts, takeUpContracts } from '../pipeline/wishes/contract.ts';
import { Deploys } from '../pipeline/wishes/deploys.ts';
import { endInTime } from '../pipeline/wishes/maintenance.ts';
import { EXIT } from '../protocol/errors.ts';
import { openDatabase } from '../store/database.ts';
import { Layout } from '../store/layout.ts';
import { listenForAlerts } from '../watch/alertmanager.ts';
import { watchConfigFile } from '../watch/config-file.ts';
import { Incoming } from '../watch/incoming.ts';
import { composeHost } from './compose.ts';
import { reloadConfiguration } from './reload.ts';
import { Settings } from './settings.ts';
import { takeSignals } from './signals.ts';

/** What is under way has this long to come to the end of its atomic step after SIGTERM, ms. */
const FINISH_MS = 2_500;
/** Then everything is let go of as it is: every step is safe under SIGKILL, ms after SIGTERM. */
const STOP_MS = 4_000;

/** Runs until SIGTERM or SIGINT. Whatever it started runs on without it. */
export async function serve(file: string, configuration: Configuration): Promise<number> {
  // V8 would look through the whole heap after each 64 MB of buffers: while a release comes, a third of
  // the agent's work.
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  const signals = takeSignals();
  const settings = new Settings(configuration);
  const log = createLog(configuration.logLevel, process.env['JOURNAL_STREAM'] !== undefined);
  const life = new LifeSign(log, watchdogIntervalMs());
  life.status('starting');
  const { stateDir, runDir, socketsDir } = configuration;
  const layout = new Layout(stateDir, runDir, socketsDir);
  await mkdir(layout.stateDir, { recursive: true, mode: 0o750 });
  await mkdir(layout.runDir, { recursive: true, mode: 0o755 });
  const database = openDatabase(layout.database);
  const host = composeHost(settings, layout, dirname(file), database, log);
  const deploys = new Deploys(host);
  const server = await createServer({
    host,
    deploys,
    version: manifest.version,
    settings,
    signal: signals.stop,
  });
  tellStory(host);
  // The socket is taken first: it is the lock against a second agent on the same state.
  await listen(server, configuration.socket);
  exitInTime(signals.stop, log);
  try {
    life.status('putting in order what was found');
    await reconcile(host, deploys, signals.stop);
    await takeUpContracts(host, deploys, signals.stop);
    deploys.open();
    const maxBytes = (): number => settings.current.limits.artifactBytes;
    const incoming = new Incoming(host, deploys, maxBytes, signals.stop);
    await incoming.open().catch((error: unknown) => {
      log.error({ err: error }, 'the drop folder cannot be opened');
    });
    log.info({ socket: configuration.socket, version: manifest.version }, 'agent ready');
    let outdated = '';
    const say = (): void => {
      const states = host.journal.apps().map((app) => host.journal.state(app));
      life.status(`${activity(states)}${outdated}`);
    };
    host.journal.subscribe(({ type }) => {
      if (type !== 'progress' && !signals.stop.aborted) say();
    });
    say();
    life.ready();
    let read = textOf(file);
    signals.onReload(async () => {
      life.reloading();
      read = textOf(file);
      const taken = await reloadConfiguration(host, settings, file, signals.stop);
      outdated = taken ? '' : '; agent.yaml is wrong, the one before is in force';
      say();
      life.ready();
    });
    const unwatch = watchConfigFile(file, log, () => {
      // Read already, by a reload that somebody asked for: told once is enough.
      if (textOf(file) !== read) signals.reload();
    });
    const alerts = await openAlerts(host, configuration);
    const scrapes = await openMetrics(host, server, configuration);
    const watching = Promise.allSettled([
      keepTrue(host, deploys, signals.stop, pause),
      keepFewWorkers(host, signals.stop),
      endInTime(host, signals.stop),
      sendNotifications(host, signals.stop),
      keepSchedules(host, signals.stop),
      keepCertificateFiles(host, signals.stop),
      keepIssued(host, signals.stop),
      keepContracts(host, deploys, signals.stop),
    ]);
    if (!signals.stop.aborted) await once(signals.stop, 'abort');
    log.info('agent stopping; apps run on');
    life.stopping();
    await Promise.all([
      watching,
      unwatch(),
      incoming.close(),
      deploys.close(FINISH_MS),
      closeServer(server),
      alerts?.close(),
      scrapes?.close(),
    ]);
  } catch (error) {
    if (!signals.stop.aborted) throw error;
    life.stopping();
    await Promise.all([deploys.close(FINISH_MS), closeServer(server)]);
  }
  await host.runner.detach();
  await host.proxy.close();
  database.close();
  return EXIT.ok;
}

function textOf(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

function tellStory(host: Host): void {
  host.journal.subscribe((event) => logEvent(host.log, event));
  host.runner.onExit(({ spec, exit, restartInMs }) => {
    const { app, slot, release } = spec;
    const ended = exit.signal ?? (exit.code === null ? 'unknown' : `exit code ${exit.code}`);
    const reason = exit.outOfMemory === true ? `${ended}, out of memory` : ended;
    host.journal.tell({
      type: 'instance_exited',
      app,
      deployment: null,
      slot,
      release,
      reason,
      restartInMs,
    });
  });
}

/** Answers that are being given are finished; whoever follows a stream gets its orderly end. */
async function closeServer(server: FastifyInstance): Promise<void> {
  const closed = server.close();
  const late = setTimeout(() => server.server.closeAllConnections(), FINISH_MS);
  await closed;
  clearTimeout(late);
}

/** Whatever hangs, the daemon is gone in time: systemd and a reboot do not wait for it. */
function exitInTime(stop: AbortSignal, log: Logger): void {
  stop.addEventListener('abort', () => {
    setTimeout(() => {
      log.warn('what is under way does not end; it is cut, the next start goes on');
      process.exit(EXIT.ok);
    }, STOP_MS).unref();
  });
}

/** Without it the control socket still tells them. */
async function openMetrics(
  host: Host,
  server: FastifyInstance,
  { metrics }: Configuration,
): Promise<Server | null> {
  if (metrics === null) return null;
  try {
    return await listenForScrapes(metrics, server);
  } catch (error) {
    host.log.error({ err: error }, 'the listener for metrics cannot be opened');
    return null;
  }
}

/** Alerts are one trigger of several: without its listener the daemon does all else. */
async function openAlerts(host: Host, { alerts }: Configuration): Promise<Server | null> {
  if (alerts === null) return null;
  try {
    return await listenForAlerts(alerts, (told) => host.alerts.take(told));
  } catch (error) {
    host.log.error({ err: error }, 'the listener for alerts cannot be opened');
    return null;
  }
}

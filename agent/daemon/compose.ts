import type { DatabaseSync } from 'node:sqlite';
import type { Logger } from 'pino';
import { entranceOf } from '../haproxy/entrance.ts';
import { createProxy } from '../haproxy/haproxy.ts';
import type { Host } from '../pipeline/host.ts';
import type { Pause } from '../pipeline/notifications/pause.ts';
import { openTlsBooks } from '../pipeline/tls/books.ts';
import { Traffic } from '../pipeline/traffic.ts';
import { DriftWatch } from '../pipeline/upkeep/keep-true.ts';
import type { NotifyEntry } from '../protocol/notify.ts';
import { createProcessRunner } from '../runner/process/process-runner.ts';
import type { InstanceSpec, Runner } from '../runner/runner.ts';
import { createSystemdRunner } from '../runner/systemd/systemd-runner.ts';
import { AcmeStore } from '../store/acme.ts';
import { Alerts } from '../store/alerts.ts';
import { createArtifactStore } from '../store/artifact/artifacts.ts';
import { Audit } from '../store/audit.ts';
import { Certificates } from '../store/certificates.ts';
import { Contracts } from '../store/contracts.ts';
import { CronRuns } from '../store/cron.ts';
import { Drops } from '../store/drops.ts';
import { Environments } from '../store/environment.ts';
import { Journal } from '../store/journal.ts';
import type { Layout } from '../store/layout.ts';
import { Locks } from '../store/locks.ts';
import { Maintenances } from '../store/maintenance.ts';
import { Outbox } from '../store/outbox.ts';
import { Releases } from '../store/releases.ts';
import { Slots } from '../store/slots.ts';
import type { Settings } from './settings.ts';

type Forward = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

/**
 * Puts the rooms together. What `systemctl reload` may change is handed over as getters, so that
 * each room sees the value of the moment.
 */
export function composeHost(
  settings: Settings,
  layout: Layout,
  configDir: string,
  database: DatabaseSync,
  log: Logger,
): Host {
  const { haproxy } = settings.current;
  const forward: Forward = (level, message, fields = {}) => log[level](fields, message);
  return {
    journal: new Journal(database, steadyNow),
    releases: new Releases(database),
    slots: new Slots<InstanceSpec>(database),
    locks: new Locks(database, steadyNow),
    maintenance: new Maintenances(database, steadyNow),
    drops: new Drops(database),
    audit: new Audit(database, steadyNow),
    environments: new Environments(database),
    outbox: new Outbox<NotifyEntry, Pause>(database, steadyNow),
    cron: new CronRuns(database),
    tls: openTlsBooks(new Certificates(database), () => settings.current.certificates, {
      store: new AcmeStore(database),
      settings: () => settings.current.acme,
    }),
    contracts: new Contracts(database),
    alerts: new Alerts(database, steadyNow),
    artifacts: createArtifactStore({
      dir: layout.artifacts,
      get maxBytes() {
        return settings.current.limits.artifactBytes;
      },
      get reserveBytes() {
        return settings.current.limits.reserveBytes;
      },
    }),
    layout,
    configDir,
    get limits() {
      return settings.current.limits;
    },
    runner: createRunner(settings, layout, forward),
    proxy: createProxy({
      mode: haproxy.mode,
      binary: haproxy.binary,
      configPath: haproxy.config,
      adminSocket: haproxy.adminSocket,
      masterSocket: haproxy.masterSocket,
      adminSocketInRegion: haproxy.adminSocketInRegion,
      bind: () => settings.current.haproxy.bind,
      switchBy: () => settings.current.haproxy.switchBy,
      bindTls: () => settings.current.haproxy.bindTls,
      http3: () => settings.current.haproxy.http3,
      maxOldWorkers: () => settings.current.haproxy.maxOldWorkers,
      workDir: layout.haproxy,
      accessLog: true,
      now: steadyNow,
      log: forward,
    }),
    entrance: () => entranceOf(settings.current.haproxy.bind),
    traffic: new Traffic(),
    countedOn: new Map(),
    drift: new DriftWatch(),
    log,
    now: steadyNow,
  };
}

function createRunner(settings: Settings, layout: Layout, log: Forward): Runner {
  const ports = {
    get from() {
      return settings.current.ports.from;
    },
    get to() {
      return settings.current.ports.to;
    },
  };
  const { current } = settings;
  const stateDir = current.runner === 'systemd' ? layout.stateDir : layout.instances;
  const options = {
    stateDir,
    ports,
    get path() {
      return settings.current.path;
    },
    log,
  };
  switch (current.runner) {
    case 'process':
      return createProcessRunner(options);
    case 'systemd':
      return createSystemdRunner(options);
  }
}

/**
 * Milliseconds since the epoch by a clock that goes on evenly while the daemon runs: when the host's
 * clock jumps, no release is watched or drained for an hour more, or less.
 */
function steadyNow(): number {
  return Math.round(performance.timeOrigin + performance.now());
}

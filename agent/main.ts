import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import manifest from '../package.json' with { type: 'json' };
import { type Configuration, readConfiguration } from './configuration.ts';
import { createServer, listen } from './control/server.ts';
import { createProxy } from './haproxy/haproxy.ts';
import { createLog, logEvent } from './observe/log.ts';
import { notify } from './observe/notify.ts';
import { Deploys } from './pipeline/deploys.ts';
import type { Host } from './pipeline/host.ts';
import { pause } from './pipeline/pause.ts';
import { keepTrue, reconcile } from './pipeline/reconcile.ts';
import { Traffic } from './pipeline/traffic.ts';
import { EXIT, ZddError } from './protocol/errors.ts';
import { createProcessRunner } from './runner/process/process-runner.ts';
import type { InstanceSpec } from './runner/runner.ts';
import { createArtifactStore } from './store/artifact/artifacts.ts';
import { openDatabase } from './store/database.ts';
import { Journal } from './store/journal.ts';
import { Layout } from './store/layout.ts';
import { Releases } from './store/releases.ts';
import { Slots } from './store/slots.ts';

const HELP = `zdd-agentd: the daemon of zdd-agent

  zdd-agentd [--config FILE]                run in the foreground
  zdd-agentd config check [--config FILE]   check the configuration, change nothing

  --config FILE   default /etc/zdd-agent/agent.yaml
  --version
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      config: { type: 'string', default: '/etc/zdd-agent/agent.yaml' },
      help: { type: 'boolean', short: 'h', default: false },
      version: { type: 'boolean', default: false },
    },
  });
  if (values.help) return say(HELP);
  if (values.version) return say(`${manifest.version}\n`);
  const configuration = readConfiguration(values.config);
  if (positionals.join(' ') === 'config check') return say(`${values.config} is right\n`);
  if (positionals.length > 0) {
    process.stderr.write(HELP);
    return EXIT.usage;
  }
  return await serve(configuration);
}

function say(text: string): number {
  process.stdout.write(text);
  return EXIT.ok;
}

/** Runs until SIGTERM or SIGINT. Whatever it started runs on without it. */
async function serve(configuration: Configuration): Promise<number> {
  const log = createLog(configuration.logLevel, process.env['JOURNAL_STREAM'] !== undefined);
  const layout = new Layout(configuration.stateDir, configuration.runDir);
  await mkdir(layout.stateDir, { recursive: true, mode: 0o750 });
  await mkdir(layout.runDir, { recursive: true, mode: 0o755 });
  const database = openDatabase(layout.database);
  const stopping = new AbortController();
  const host = composeHost(configuration, layout, database, log);
  const deploys = new Deploys(host);
  host.journal.subscribe((event) => logEvent(log, event));
  host.runner.onExit(({ spec, exit, restartInMs }) => {
    const { app, slot, release } = spec;
    const reason = exit.signal ?? (exit.code === null ? 'unknown' : `exit code ${exit.code}`);
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
  const server = await createServer({
    host,
    deploys,
    version: manifest.version,
    runner: configuration.runner,
    signal: stopping.signal,
  });
  const ended = endOn(['SIGTERM', 'SIGINT'], stopping);
  // The socket is taken first: it is the lock against a second agent on the same state.
  await listen(server, configuration.socket);
  try {
    await reconcile(host, deploys, stopping.signal);
    deploys.open();
    log.info({ socket: configuration.socket, version: manifest.version }, 'agent ready');
    await notify('READY=1');
    const watching = keepTrue(host, deploys, stopping.signal, pause).catch(() => undefined);
    await ended;
    log.info('agent stopping; apps run on');
    await notify('STOPPING=1');
    await watching;
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  }
  await deploys.close();
  await server.close();
  await host.runner.detach();
  await host.proxy.close();
  database.close();
  return EXIT.ok;
}

function composeHost(
  configuration: Configuration,
  layout: Layout,
  database: ReturnType<typeof openDatabase>,
  log: ReturnType<typeof createLog>,
): Host {
  const { haproxy, limits } = configuration;
  const forward = (
    level: 'debug' | 'info' | 'warn' | 'error',
    message: string,
    fields: Record<string, unknown> = {},
  ): void => log[level](fields, message);
  return {
    journal: new Journal(database, Date.now),
    releases: new Releases(database),
    slots: new Slots<InstanceSpec>(database),
    artifacts: createArtifactStore({
      dir: layout.artifacts,
      maxBytes: limits.artifactBytes,
      reserveBytes: limits.reserveBytes,
    }),
    layout,
    limits,
    runner: createProcessRunner({
      stateDir: layout.instances,
      ports: configuration.ports,
      path: configuration.path,
      log: forward,
    }),
    proxy: createProxy({
      mode: haproxy.mode,
      binary: haproxy.binary,
      configPath: haproxy.config,
      adminSocket: haproxy.adminSocket,
      masterSocket: haproxy.masterSocket,
      bind: haproxy.bind,
      workDir: join(layout.haproxy),
      log: forward,
    }),
    traffic: new Traffic(),
    log,
    now: Date.now,
  };
}

async function endOn(signals: readonly NodeJS.Signals[], stopping: AbortController): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const name of signals) process.once(name, () => resolve());
  });
  stopping.abort(new Error('the agent is stopping'));
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof ZddError)) throw error;
  const { code, message, evidence, tries, exit } = error;
  const details = evidence.map(([label, text]) => `  ${label} ${text}\n`).join('');
  const hints = tries.map((hint) => `Try: ${hint}\n`).join('');
  process.stderr.write(`Error: ${message}  ${code}\n${details}${hints}`);
  process.exitCode = exit;
}

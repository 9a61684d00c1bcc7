import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createProxy, stopEmbedded } from '../../agent/haproxy/haproxy.ts';
import { desiredProxy } from '../../agent/pipeline/traffic.ts';
import { openDatabase } from '../../agent/store/database.ts';
import { type Bench, BenchError, type BenchResult, type BenchSession } from '../bench.ts';
import { table } from '../table.ts';
import { appName, manyApps } from './books.ts';
import { startClients } from './clients.ts';

const SIZES = [1, 50, 200];
const INSTANCES = 5;
const DEFAULT_SWITCHES = 20;
/** The first finds caches empty and is no measure. */
const WARM_UP = 3;
/** HAProxy checks a thousand new servers before they count, ms. */
const CONFIRM_MS = 60_000;
const LISTENERS = fileURLToPath(new URL('./listeners.ts', import.meta.url));

/** What one size of host was measured at. Times are medians, ms. */
interface Row {
  readonly apps: number;
  /** Servers that have traffic; the release that stands by comes on top. */
  readonly servers: number;
  /** From the look into the journal to HAProxy's confirmation, `haproxy.cfg` on disk. */
  readonly switchMs: number;
  readonly switchMaxMs: number;
  /** Of that, the commands that move traffic. */
  readonly commandsMs: number;
  readonly requests: number;
  readonly lost: number;
}

/** What a switch of one app costs on a host with many: the real HAProxy, journal and database. */
export const scaleBench: Bench = {
  name: 'scale',
  summary: 'what a switch costs on a host with 1, 50 and 200 apps of 5 servers',
  flags: [
    `--switches N   switches per size (${DEFAULT_SWITCHES})`,
    `--apps A,B     sizes (${SIZES.join(',')})`,
  ],

  async run(args, session): Promise<BenchResult> {
    const { switches, sizes } = flagsOf(args);
    const rows: Row[] = [];
    for (const apps of sizes) {
      session.say(`${apps} apps, ${apps * INSTANCES} servers: ${switches} switches`);
      rows.push(await measure(apps, switches, session));
    }
    const machine = {
      cores: availableParallelism(),
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      node: process.version,
    };
    return {
      text: textOf(rows),
      json: { schemaVersion: 1, rows, machine, at: new Date().toISOString() },
    };
  },
};

async function measure(apps: number, switches: number, { signal }: BenchSession): Promise<Row> {
  const folder = await mkdtemp(join(tmpdir(), 'zdd-scale-'));
  const port = await freePort();
  const workDir = join(folder, 'work');
  const proxy = createProxy({
    mode: 'embedded',
    binary: 'haproxy',
    configPath: join(folder, 'haproxy.cfg'),
    adminSocket: join(folder, 'admin.sock'),
    masterSocket: join(folder, 'master.sock'),
    bind: () => [`127.0.0.1:${port}`],
    workDir,
    confirmMs: CONFIRM_MS,
    log: () => {},
  });
  const database = openDatabase(join(folder, 'agent.db'));
  const listeners = fork(LISTENERS, { stdio: 'inherit' });
  try {
    const { books, sockets, turn } = manyApps(database, folder, apps, INSTANCES);
    const ready = once(listeners, 'message', { signal });
    listeners.send(sockets);
    await ready;
    await proxy.open(signal);
    await proxy.apply(desiredProxy(books), signal);
    const clients = startClients(port, `${appName(0)}.example.com`);
    const times: { whole: number; commands: number }[] = [];
    for (let n = 0; n < WARM_UP + switches; n += 1) {
      turn();
      const started = performance.now();
      const { reloaded, switchMs } = await proxy.apply(desiredProxy(books), signal, appName(0));
      const whole = performance.now() - started;
      if (reloaded || switchMs === 0) throw new BenchError(`a switch of ${apps} apps went wrong`);
      if (n >= WARM_UP) times.push({ whole, commands: switchMs });
    }
    const { requests, lost } = await clients.stop();
    return {
      apps,
      servers: apps * INSTANCES,
      switchMs: round(median(times.map(({ whole }) => whole))),
      switchMaxMs: round(Math.max(...times.map(({ whole }) => whole))),
      commandsMs: round(median(times.map(({ commands }) => commands))),
      requests,
      lost,
    };
  } finally {
    await proxy.close();
    await stopEmbedded(workDir);
    listeners.kill();
    database.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function flagsOf(args: readonly string[]): { switches: number; sizes: readonly number[] } {
  const { values } = parsed(args);
  const switches = Number(values.switches ?? DEFAULT_SWITCHES);
  const sizes = values.apps === undefined ? SIZES : values.apps.split(',').map(Number);
  for (const [flag, value] of [['--switches', switches], ...sizes.map((of) => ['--apps', of])]) {
    if (!Number.isInteger(value) || Number(value) < 1 || Number(value) > 1_000) {
      throw new BenchError(`${flag}: expected whole numbers from 1 to 1000`);
    }
  }
  return { switches, sizes };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: { switches: { type: 'string' }, apps: { type: 'string' } },
    });
  } catch (error) {
    throw new BenchError(error instanceof Error ? error.message : String(error), ['npm run bench']);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new BenchError('no free port');
  return address.port;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}

function textOf(rows: readonly Row[]): string {
  const [one] = rows;
  return table(
    ['apps', 'servers', 'switch ms', 'max', 'commands ms', 'times the first', 'requests', 'lost'],
    rows.map((row) => [
      ...[row.apps, row.servers, row.switchMs, row.switchMaxMs, row.commandsMs],
      one === undefined ? null : row.switchMs / one.switchMs,
      ...[row.requests, row.lost],
    ]),
  );
}

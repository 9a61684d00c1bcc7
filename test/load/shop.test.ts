import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { Agent, get } from 'node:http';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { list } from 'tar';
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { parse } from 'yaml';
import { appConfig } from '../../agent/protocol/app-config.ts';
import { buildRelease, layOutRelease } from '../../examples/build-release.ts';
import { readLedger } from '../../load/ledger.ts';
import { runShop, until } from './running.ts';

async function temporaryFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'zdd-test-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

test('the same release gives the same archive, with its dependency', async () => {
  await using folder = await temporaryFolder();
  const release = { behaviour: { version: 'v1' }, config: { bake: '5s' } };
  const first = await buildRelease(join(folder.path, 'a'), release);
  const second = await buildRelease(join(folder.path, 'b'), release);
  expect(first.bytes).toBe((await stat(first.path)).size);
  expect(await readFile(second.path)).toEqual(await readFile(first.path));
  const other = await buildRelease(folder.path, { behaviour: { version: 'v2' } });
  expect(await readFile(other.path)).not.toEqual(await readFile(first.path));

  const entries: string[] = [];
  await list({ file: first.path, onReadEntry: (entry) => entries.push(entry.path) });
  expect(entries).toEqual(expect.arrayContaining(['server.js', 'zdd.yaml', 'behaviour.json']));
  expect(entries).toContain('node_modules/ws/package.json');
});

test('overrides of zdd.yaml are merged, and the result is a good one', async () => {
  await using folder = await temporaryFolder();
  await layOutRelease(folder.path, {
    behaviour: { version: 'v1' },
    config: {
      bake: '5s',
      processes: { web: { instances: 3 }, worker: null },
      env: { ZDD_SHOP_LEDGER: '/somewhere' },
    },
    files: { 'public/hello.txt': 'hello' },
  });
  const config = appConfig.parse(parse(await readFile(join(folder.path, 'zdd.yaml'), 'utf8')));
  expect(config).toMatchObject({
    app: 'shop',
    bake: 5_000,
    env: { ZDD_SHOP_LEDGER: '/somewhere' },
  });
  expect(Object.keys(config.processes)).toEqual(['web']);
  expect(config.processes['web']).toMatchObject({ run: 'node server.js', instances: 3 });
  expect(await readFile(join(folder.path, 'public/hello.txt'), 'utf8')).toBe('hello');
});

test('the zdd.yaml of the example is a good one as it stands', async () => {
  const source = await readFile(new URL('../../examples/shop/zdd.yaml', import.meta.url), 'utf8');
  const config = appConfig.parse(parse(source));
  expect(config.processes['web']?.instances).toBe(2);
  expect(config.processes['worker']).toMatchObject({ instances: 1, overlap: false });
});

test('SIGTERM lets a request in flight end, closes all idle connections and WebSockets, and exits', async () => {
  await using shop = await runShop({ version: 'v1' });
  const agent = new Agent({ keepAlive: true });
  const ask = async (path: string): Promise<string> => {
    const [response] = await once(get(`${shop.url}${path}`, { agent }), 'response');
    return text(response);
  };
  await ask('/');
  const socket = new WebSocket(`${shop.url.replace('http', 'ws')}/ws?interval=20`);
  await once(socket, 'message');
  const closed = once(socket, 'close');
  const streamed = ask('/stream?chunks=5&ms=60');
  await until(async () => (await ask('/')).includes('v1'), 'another connection is idle');
  const unused = connect(shop.port, '127.0.0.1');
  await once(unused, 'connect');
  shop.process.kill('SIGTERM');
  expect(await closed).toMatchObject([1001, Buffer.from('server stops')]);
  expect(await streamed).toContain('END 5\n');
  expect(await shop.exited).toBe(0);
  agent.destroy();
});

test('an unhealthy release says so and why', async () => {
  await using shop = await runShop({ version: 'v3', health: 'never' }, { ZDD_RELEASE: 'r3' });
  const response = await fetch(`${shop.url}/healthz`);
  expect(response.status).toBe(503);
  expect(response.headers.get('x-zdd-release')).toBe('r3');
  expect(await response.json()).toMatchObject({ status: 'error', release: 'r3' });
});

test('a healthy release can become unhealthy later', async () => {
  await using shop = await runShop({ version: 'v5', unhealthyAfterMs: 400 });
  const status = async () => (await fetch(`${shop.url}/healthz`)).status;
  await until(async () => (await status()) === 503, 'it is unhealthy');
});

test('a release that crashes ends by itself', async () => {
  await using folder = await temporaryFolder();
  await layOutRelease(folder.path, { behaviour: { version: 'v6', crashAfterMs: 100 } });
  const child = spawn(process.execPath, ['server.js'], {
    cwd: folder.path,
    env: { ...process.env, SOCKET: join(folder.path, 'web.sock') },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [errors] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  expect(child.exitCode).toBe(1);
  expect(errors).toContain('the shop has burnt down');
});

test('it listens on a unix socket, also when a crash has left the file behind', async () => {
  await using folder = await temporaryFolder();
  await layOutRelease(folder.path, { behaviour: { version: 'v1' } });
  const socketPath = join(folder.path, 'web.sock');
  for (const attempt of ['first', 'second']) {
    const child = spawn(process.execPath, ['server.js'], {
      cwd: folder.path,
      env: { ...process.env, SOCKET: socketPath },
      stdio: 'ignore',
    });
    const exited = once(child, 'exit');
    await until(() => homeOf(socketPath), `the ${attempt} one answers`);
    child.kill('SIGKILL');
    await exited;
  }
});

test('it listens on an inherited socket', async () => {
  await using folder = await temporaryFolder();
  await layOutRelease(folder.path, { behaviour: { version: 'v1' } });
  const listener = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const url = `http://127.0.0.1:${portOf(listener)}/`;
  const child = spawn(process.execPath, ['server.js'], {
    cwd: folder.path,
    env: { ...process.env, LISTEN_FDS: '1', PORT: '1' },
    stdio: ['ignore', 'ignore', 'ignore', fdOf(listener)],
  });
  const exited = once(child, 'exit');
  // From here on only the child can take a connection.
  listener.close();
  const home = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  expect(await home.text()).toContain('shop v1');
  child.kill('SIGKILL');
  await exited;
});

test('two workers at once are written down, one after the other are not', async () => {
  await using folder = await temporaryFolder();
  await layOutRelease(folder.path, { behaviour: { version: 'v1' } });
  const ledger = join(folder.path, 'ledger');
  const work = async () => {
    const child = spawn(process.execPath, ['worker.js'], {
      cwd: folder.path,
      env: { ...process.env, ZDD_SHOP_LEDGER: ledger },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    return { child, exited: once(child, 'exit') };
  };
  const first = await work();
  first.child.kill('SIGTERM');
  await first.exited;
  const second = await work();
  second.child.kill('SIGKILL');
  await second.exited;
  const third = await work();
  expect((await readLedger(ledger)).workerOverlaps).toBe(0);
  const fourth = await work();
  expect((await readLedger(ledger)).workerOverlaps).toBe(1);
  for (const { child, exited } of [third, fourth]) {
    child.kill('SIGTERM');
    await exited;
  }
  const log = await readFile(join(ledger, 'worker.log'), 'utf8');
  expect(log.match(/ start /g)).toHaveLength(4);
  expect(log.match(/ stop /g)).toHaveLength(3);
});

test('the ledger of an empty folder is empty, a torn end is no entry', async () => {
  await using folder = await temporaryFolder();
  expect(await readLedger(folder.path)).toEqual({ uploads: 0, duplicates: [], workerOverlaps: 0 });
  await writeFile(join(folder.path, 'requests.log'), 'a r1 web 1\nb r1 web 2\na r2 web 3\n');
  expect(await readLedger(folder.path)).toMatchObject({ uploads: 2, duplicates: ['a'] });
});

async function homeOf(socketPath: string): Promise<boolean> {
  const asked = get({ socketPath, path: '/', agent: false });
  const answered = once(asked, 'response').catch(() => undefined);
  const response = (await answered)?.[0];
  if (response === undefined) return false;
  return (await text(response)).startsWith('shop v1');
}

function portOf(listener: Server): number {
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('the listener has no port');
  return address.port;
}

/** The descriptor of a listener: Node has no public name for it. */
function fdOf(listener: Server): number {
  const handle: unknown = Reflect.get(listener, '_handle');
  const fd: unknown =
    typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  if (typeof fd !== 'number') throw new Error('the listener has no descriptor');
  return fd;
}

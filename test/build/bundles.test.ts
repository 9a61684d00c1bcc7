import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { stopEmbedded } from '../../agent/haproxy/haproxy.ts';
import { API_HEADER, API_VERSION } from '../../agent/protocol/contact.ts';
import { listenToNotifications, type Notifications } from '../observe/notifications.ts';
import { buildPackage, output, ROOT, type Unpacked, unpackTarball, VERSION } from './package.ts';

let unpacked: Unpacked;
let empty: string;
let daemon: ChildProcess | undefined;
let heard: Notifications | undefined;
const program = (path: string) => join(unpacked.folder, path);

beforeAll(async () => {
  await buildPackage(ROOT);
  unpacked = await unpackTarball();
}, 120_000);

afterAll(() => unpacked.remove());

beforeEach(async () => {
  empty = await mkdtemp(join(tmpdir(), 'zdd-empty-'));
});

afterEach(async () => {
  if (daemon?.exitCode === null && daemon.kill('SIGTERM')) await once(daemon, 'exit');
  await stopEmbedded(join(empty, 'state', 'haproxy'), 10_000);
  await heard?.stop();
  await rm(empty, { recursive: true });
});

test('both programs tell the version of package.json, where there is nothing but themselves', async () => {
  expect(await output(program('usr/bin/zdd-agent'), ['--version'], { cwd: empty })).toEqual({
    code: 0,
    stdout: `zdd-agent ${VERSION}\n`,
    stderr: '',
  });
  expect(await output(program('usr/sbin/zdd-agentd'), ['--version'], { cwd: empty })).toEqual({
    code: 0,
    stdout: `${VERSION}\n`,
    stderr: '',
  });
});

test('the bundle of the CLI can speak SSH: all that ssh2 asks for at its start is inside', async () => {
  const host = createServer((socket) => socket.end('SSH-2.0-nobody\r\n')).listen(0, '127.0.0.1');
  await once(host, 'listening');
  const address = host.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const args = ['status', '--host', `nobody@127.0.0.1:${port}`];
  const { code, stderr } = await output(program('usr/bin/zdd-agent'), args, { cwd: empty });
  host.close();
  expect(stderr).toContain('failed before the login');
  expect(stderr).toContain('ZDD_AGENT_UNREACHABLE');
  expect(code).toBe(11);
});

test('a link to a launcher from elsewhere starts the program too', async () => {
  await symlink(program('usr/bin/zdd-agent'), join(empty, 'deploy'));
  const { stdout } = await output(join(empty, 'deploy'), ['--help'], { cwd: empty });
  expect(stdout).toContain('zdd-agent push');
});

test('compiled code is kept in a folder of the user alone', async () => {
  const cache = join(empty, 'cache');
  const env = { XDG_CACHE_HOME: cache };
  await output(program('usr/bin/zdd-agent'), ['--version'], { cwd: empty, env });
  const { stdout } = await output('stat', ['-c', '%a', join(cache, 'zdd-agent')]);
  expect(stdout).toBe('700\n');
});

test('config check reads a zdd.yaml, and tells a wrong one with its place', async () => {
  const check = (file: string) =>
    output(program('usr/bin/zdd-agent'), ['config', 'check', file], { cwd: empty });
  expect(await check(program('usr/lib/zdd-agent/templates/zdd.yaml'))).toMatchObject({ code: 0 });
  await writeFile(
    join(empty, 'zdd.yaml'),
    'app: shop\nprocesses:\n  web:\n    run: node .\n    heatlh: /\n',
  );
  const wrong = await check('zdd.yaml');
  expect(wrong.code).toBe(10);
  expect(wrong.stderr.replace(/\s+/g, ' ')).toContain('did you mean "health"?');
});

test('the daemon checks its configuration, and tells a wrong one', async () => {
  const config = join(empty, 'agent.yaml');
  const check = () =>
    output(program('usr/sbin/zdd-agentd'), ['config', 'check', '--config', config], { cwd: empty });
  await writeFile(config, 'log_level: debug\n');
  expect(await check()).toMatchObject({ code: 0 });
  await writeFile(config, 'log_level: loud\n');
  expect(await check()).toMatchObject({ code: 10, stdout: '' });
});

test('the daemon serves its API, and says READY through the addon, without systemd-notify', async () => {
  const config = join(empty, 'agent.yaml');
  const socket = join(empty, 'run', 'agent.sock');
  const bin = join(empty, 'bin');
  await mkdir(bin);
  await symlink('/bin/sh', join(bin, 'sh'));
  const settings = {
    state_dir: join(empty, 'state'),
    run_dir: join(empty, 'run'),
    haproxy: {
      mode: 'embedded',
      binary: '/usr/sbin/haproxy',
      bind: [`unix@${join(empty, 'front.sock')}`],
    },
  };
  await writeFile(config, JSON.stringify(settings));
  heard = await listenToNotifications(join(empty, 'notify.sock'));
  daemon = spawn(
    program('usr/lib/zdd-agent/runtime/node'),
    [program('usr/lib/zdd-agent/lib/zdd-agentd.mjs'), '--config', config],
    {
      cwd: empty,
      env: { PATH: bin, NOTIFY_SOCKET: heard.path },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  await heard.includes('READY=1');

  const cli = await output(program('usr/bin/zdd-agent'), ['status', '--json', '--socket', socket], {
    cwd: empty,
  });
  expect(cli).toMatchObject({ code: 0, stderr: '' });
  const described = await get(socket, '/openapi.json');
  expect(JSON.parse(described.body)).toMatchObject({ info: { version: VERSION } });
  // Answers and refusals alike say which API they are of.
  for (const path of ['/v1/status', '/v1/apps/nope', '/v9/nothing']) {
    expect((await get(socket, path)).api, path).toBe(String(API_VERSION));
  }
}, 60_000);

async function get(socketPath: string, path: string): Promise<{ body: string; api: unknown }> {
  const asked = request({ socketPath, path, agent: false });
  asked.end();
  const [answer] = await once(asked, 'response');
  let body = '';
  for await (const chunk of answer) body += String(chunk);
  return { body, api: answer.headers[API_HEADER] };
}

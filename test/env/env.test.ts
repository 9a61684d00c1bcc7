import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { environmentReply } from '../../agent/protocol/environment.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import { CLI, environment, type Ran, watchChild } from '../cli/run-cli.ts';
import { push, settled } from '../deploys/shop.ts';
import { onTerminal } from '../exec/terminal.ts';

const SECRET = 'geheim-4711 $x "y" \'z\'';

let host: PrivateHost;
beforeAll(async () => {
  host = await PrivateHost.start();
});
afterAll(async () => {
  await host.remove();
});

function env(args: readonly string[], input = ''): Promise<Ran> {
  const child = spawn(CLI, ['env', ...args, '--app', 'shop'], {
    env: environment({ socket: host.socket }),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  return watchChild(child, args.join(' ')).ended();
}

async function list(...flags: string[]) {
  const { code, stdout, stderr } = await env(['list', '--json', ...flags]);
  expect(code, stderr).toBe(0);
  return environmentReply.parse(JSON.parse(stdout));
}

async function deploy(version: string, options: Record<string, string | object> = {}) {
  const { code, stderr } = await push(host, {
    behaviour: { version },
    config: {
      warm: '0s',
      // The release command writes what it was given.
      release: 'printf %s "$DB_URL" >../../released; printf %s "$FROM_YAML" >>../../released',
      processes: { web: { env: { FROM_YAML: 'yaml', WON: 'by yaml' } } },
      ...options,
    },
  });
  expect(code, stderr).toBe(0);
}

/** The environment of every instance that runs. */
async function instances(): Promise<Record<string, string>[]> {
  const app = await host.app('shop');
  const running = app?.generations.flatMap((generation) => generation.instances) ?? [];
  return running.map(({ pid }) =>
    Object.fromEntries(
      readFileSync(`/proc/${pid}/environ`, 'utf8')
        .split('\0')
        .map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
    ),
  );
}

test('an app that is not there yet can be given variables; its first deploy has them', async () => {
  const { code, stdout, stderr } = await env(['set', 'DB_URL'], `${SECRET}\n`);
  expect(code, stderr).toBe(0);
  expect(stdout).toBe('shop: set DB_URL; its next start will have it\n');
  expect(await list()).toMatchObject({
    live: null,
    variables: [{ name: 'DB_URL', inForce: null }],
  });
  await deploy('1');
  for (const each of await instances()) expect(each['DB_URL']).toBe(SECRET);
  expect(readFileSync(join(host.stateDir, 'apps/shop/released'), 'utf8')).toContain(SECRET);
  expect(await list()).toMatchObject({ variables: [{ name: 'DB_URL', inForce: true }] });
});

test('a change leaves what runs alone, and is in force after the next deploy', async () => {
  const before = await host.app('shop');
  const { stderr } = await env(['set', 'WON'], 'by the host');
  expect(stderr).toContain('zdd-agent restart --app shop');
  expect((await host.app('shop'))?.generations).toEqual(before?.generations);
  expect(await list()).toMatchObject({
    variables: [
      { name: 'DB_URL', inForce: true },
      { name: 'WON', inForce: false, overrides: true },
    ],
  });
  await deploy('2');
  await settled(host);
  const web = (await instances()).filter((each) => each['FROM_YAML'] === 'yaml');
  expect(web.length).toBeGreaterThan(0);
  for (const each of web) expect(each['WON']).toBe('by the host');
});

test('a variable that was taken away is told of until it is gone, and zdd.yaml counts again', async () => {
  const { stdout } = await env(['unset', 'WON', 'NEVER_THERE']);
  expect(stdout).toBe('shop: unset WON; unchanged NEVER_THERE\n');
  expect(await list()).toMatchObject({ leaving: ['WON'] });
  await deploy('3');
  await settled(host);
  expect((await list()).leaving).toEqual([]);
  expect((await instances()).some((each) => each['WON'] === 'by yaml')).toBe(true);
});

test('a rollback uses the values of now, also to a release that is still warm', async () => {
  await deploy('4', { warm: '5m' });
  await deploy('5', { warm: '5m' });
  await env(['set', 'DB_URL'], 'rotated');
  const { code, stderr } = await host.cli(['rollback', '--app', 'shop']);
  expect(code, stderr).toBe(0);
  const live = (await host.app('shop'))?.generations.find(({ role }) => role === 'stable');
  const pids = live?.instances.map(({ pid }) => pid) ?? [];
  expect(pids.length).toBeGreaterThan(0);
  for (const pid of pids) {
    expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).toContain('DB_URL=rotated\0');
  }
  await env(['set', 'DB_URL'], SECRET);
});

test('an instance that crashes comes back with the values it had', async () => {
  await deploy('6');
  const firstWeb = async () => {
    const app = await host.app('shop');
    return app?.generations.find(({ role }) => role === 'stable')?.instances[0];
  };
  const before = await firstWeb();
  process.kill(Number(before?.pid), 'SIGKILL');
  await host.until('another process', 20_000, async () => {
    const now = await firstWeb();
    return now?.state === 'running' && now.pid !== before?.pid;
  });
  const pid = (await firstWeb())?.pid;
  expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).toContain(`DB_URL=${SECRET}\0`);
});

test('values are shown when asked for, as a file that can be imported', async () => {
  expect((await env(['list'])).stdout).not.toContain('geheim');
  expect(JSON.stringify(await list())).not.toContain('geheim');
  const { stdout } = await env(['list', '--show']);
  expect(stdout).toContain('geheim');
  expect((await env(['import', '-'], stdout)).stdout).toBe('shop: unchanged DB_URL\n');
  expect((await list('--show')).variables[0]?.value).toBe(SECRET);
});

test('a file is taken whole or not at all', async () => {
  const file = join(host.dir, 'some.env');
  writeFileSync(file, 'A=1\nB="two\nlines"\nexport C=3 # c\n');
  expect((await env(['import', file])).stdout).toBe('shop: set A, B, C\n');
  const before = await list('--show');
  writeFileSync(file, 'A=changed\nPORT=80\nZDD_APP=x\n1X=geheim\n');
  const { code, stderr } = await env(['import', file]);
  expect(code).toBe(10);
  expect(stderr).toContain('ZDD_ENV_INVALID');
  for (const word of ['PORT', 'ZDD_APP', '(not a name)']) expect(stderr).toContain(word);
  expect(stderr).not.toContain('geheim');
  expect(await list('--show')).toEqual(before);
});

test.each([
  [['set', 'DB_URL=geheim'], '', 2, 'zdd-agent env set DB_URL'],
  [['set', 'geheim-wort!'], '', 2, 'argument 1'],
  [['set', 'PORT'], '80', 2, 'reserved'],
  [['set', 'A', 'B'], 'x', 2, 'one name only'],
  [['set', 'A'], 'x\0geheim', 10, 'NUL'],
  [['set', 'A', '--file', '/no/such/file'], '', 10, 'ENOENT'],
  [['import', '-'], '', 10, 'no variables'],
  [['set'], '', 2, 'ZDD_USAGE'],
])('%j is refused and changes nothing', async (args, input, exit, words) => {
  const before = await list('--show');
  const { code, stdout, stderr } = await env(args, input);
  expect(code, stderr).toBe(exit);
  expect(stderr).toContain(words);
  expect(stdout + stderr).not.toContain('geheim');
  expect(await list('--show')).toEqual(before);
});

test('on a terminal each value is asked for and nothing of it is shown', async () => {
  const asked = await onTerminal(['env', 'set', 'TYPED', 'TOO', '--app', 'shop', '--no-restart'], {
    socket: host.socket,
  });
  await asked.says('Value of TYPED:');
  asked.type('geheim-eins\r');
  await asked.says('Value of TOO:');
  asked.type('geheim-zwei\r');
  const { code, stdout } = await asked.ended();
  expect(code).toBe(0);
  expect(stdout).not.toContain('geheim');
  const { variables } = await list('--show');
  const of = (name: string) => variables.find((each) => each.name === name)?.value;
  expect([of('TYPED'), of('TOO')]).toEqual(['geheim-eins', 'geheim-zwei']);
});

test('the question about a restart takes no for an answer', async () => {
  const asked = await onTerminal(['env', 'set', 'A', '--app', 'shop'], { socket: host.socket });
  await asked.says('Value of A:');
  asked.type('new\r');
  await asked.says('Restart shop now');
  asked.type('n');
  expect((await asked.ended()).stdout).toContain('zdd-agent restart');
});

test('no value is in the log, in an event, or in a file that others may read', async () => {
  expect(await host.log()).not.toContain('geheim');
  const events = await host.events();
  expect(JSON.stringify(events)).not.toContain('geheim');
  expect(events).toContainEqual(
    expect.objectContaining({ type: 'environment_changed', app: 'shop', set: ['DB_URL'] }),
  );
  const holders = readdirSync(host.dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => readFileSync(path).includes('geheim-4711'));
  expect(holders.length).toBeGreaterThan(0);
  for (const path of holders.filter((each) => !each.endsWith('/released'))) {
    expect(statSync(path).mode & 0o077, path).toBe(0);
  }
});

import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import {
  CLI,
  cli,
  environment,
  type Running,
  temporaryFolder,
  until,
  watchChild,
} from '../run-cli.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let project: string;
let terminal: Running | null;

beforeEach(async () => {
  folder = await temporaryFolder();
  terminal = null;
  project = join(folder.path, 'My Shop');
  await mkdir(project);
  await writeFile(
    join(project, 'server.js'),
    `import { createServer } from 'node:http';
createServer((request, response) => {
  response.statusCode = request.url === '/healthz' ? 200 : 404;
  response.end();
}).listen(process.env.SOCKET);
`,
  );
  await writeFile(join(project, 'package.json'), '{"type":"module","main":"server.js"}');
});
afterEach(async () => {
  terminal?.child.kill('SIGKILL');
  await folder.remove();
});

const read = (name: string) => readFile(join(project, name), 'utf8');

test('it writes zdd.yaml and .zddignore, and says what to type next', async () => {
  const { code, stdout, stderr } = await cli(['init'], { cwd: project });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain('wrote zdd.yaml, .zddignore\n');
  expect(stdout).toContain('Next: zdd-agent config check\n      zdd-agent push --dry-run\n');
  expect(parse(await read('zdd.yaml'))).toEqual({
    app: 'my-shop',
    processes: { web: { run: 'node server.js', health: '/healthz' } },
    env: { NODE_ENV: 'production' },
  });
  expect(await read('.zddignore')).toContain('\n.env\n');
  expect((await readdir(project)).sort()).toEqual([
    '.zddignore',
    'package.json',
    'server.js',
    'zdd.yaml',
  ]);
});

test('what it wrote really starts: the run line listens where the agent asks, at the health path', async () => {
  await cli(['init'], { cwd: project });
  const { processes } = parse(await read('zdd.yaml'));
  const socket = join(folder.path, 'web.sock');
  const web = spawn('/bin/sh', ['-c', `exec ${processes.web.run}`], {
    cwd: project,
    env: {
      PATH: `${join(process.execPath, '..')}:${process.env['PATH']}`,
      SOCKET: socket,
    },
    stdio: 'ignore',
  });
  try {
    await until(
      () =>
        new Promise((resolve) => {
          get({ socketPath: socket, path: processes.web.health }, (response) => {
            response.resume();
            resolve(response.statusCode === 200);
          }).on('error', () => resolve(false));
        }),
      () => `200 from ${processes.web.health}`,
    );
  } finally {
    web.kill('SIGKILL');
  }
});

test('what it wrote can be planned and packed by push --dry-run, without what stays at home', async () => {
  await cli(['init'], { cwd: project });
  await writeFile(join(project, '.env'), 'SECRET=1');
  const { code, stdout } = await cli(['push', '--dry-run'], {
    cwd: project,
    socket: join(folder.path, 'no.sock'),
  });
  expect(code).toBe(0);
  expect(stdout).toContain('4 files');
});

test('a zdd.yaml that is there is never touched without --force', async () => {
  await writeFile(join(project, 'zdd.yaml'), 'mine\n');
  const { code, stdout, stderr } = await cli(['init'], { cwd: project });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain('zdd.yaml is there already');
  expect(stderr).toContain('zdd-agent init --force');
  expect(await read('zdd.yaml')).toBe('mine\n');
  expect(await readdir(project)).not.toContain('.zddignore');

  await writeFile(join(project, '.zddignore'), 'secret/\n');
  const forced = await cli(['init', '--force'], { cwd: project });
  expect(forced.code).toBe(0);
  expect(forced.stdout).toContain('.zddignore was there already and stays as it is');
  expect(parse(await read('zdd.yaml'))).toMatchObject({ app: 'my-shop' });
  // Rules that keep secrets back are never thrown away, not even by force.
  expect(await read('.zddignore')).toBe('secret/\n');
});

test('--dry-run writes nothing, also where a zdd.yaml is', async () => {
  await writeFile(join(project, 'zdd.yaml'), 'mine\n');
  const { code, stdout } = await cli(['init', '--dry-run'], { cwd: project });
  expect(code).toBe(0);
  expect(stdout).toContain('\napp: my-shop ');
  expect(stdout).toContain('nothing was written\n');
  expect(await read('zdd.yaml')).toBe('mine\n');
  expect(await readdir(project)).not.toContain('.zddignore');
});

test('--json is one value with each guess, its reason and the files', async () => {
  const { code, stdout, stderr } = await cli(
    ['init', '--json', '--host', 'a@b', '--host', 'c', '-e', 'staging'],
    {
      cwd: project,
    },
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout)).toMatchObject({
    schemaVersion: 1,
    app: 'my-shop',
    kind: 'node',
    found: { what: 'Node.js', from: ['package.json'] },
    processes: [
      {
        name: 'web',
        run: { value: 'node server.js', why: 'main of package.json' },
        listen: { value: 'socket', why: 'server.js reads $SOCKET' },
      },
    ],
    environment: 'staging',
    hosts: ['a@b', 'c'],
    files: [
      { path: 'zdd.yaml', state: 'written', text: await read('zdd.yaml') },
      { path: '.zddignore', state: 'written' },
    ],
    next: ['zdd-agent config check', 'zdd-agent push --dry-run'],
  });
});

test('a folder can be named; what to type next begins with going there', async () => {
  const { code, stdout } = await cli(['init', 'My Shop', '--app', 'shop'], { cwd: folder.path });
  expect(code).toBe(0);
  expect(stdout).toContain("Next: cd 'My Shop'\n");
  expect(parse(await read('zdd.yaml'))).toMatchObject({ app: 'shop' });
});

test('--run says how the app starts, whatever is there, and tells by its line where it listens', async () => {
  const run = async (...args: string[]) => {
    await cli(['init', '--force', '--run', ...args], { cwd: project });
    return parse(await read('zdd.yaml')).processes.web;
  };
  expect(await run('./serve --unix $SOCKET')).toEqual({
    run: './serve --unix $SOCKET',
    health: '/healthz',
  });
  expect(await run('./serve -p $PORT')).toMatchObject({ run: './serve -p $PORT', listen: 'port' });
  const bare = join(folder.path, 'bare');
  await mkdir(bare);
  expect((await cli(['init', '--run', './serve'], { cwd: bare })).code).toBe(0);
  expect(parse(await readFile(join(bare, 'zdd.yaml'), 'utf8'))).toMatchObject({
    app: 'bare',
    processes: { web: { run: './serve', listen: 'port', health: '/' } },
  });
});

test.each([
  [['init', 'nowhere'], 'nowhere is no folder that can be read'],
  [['init', '--app', 'My Shop'], '--app: expected lower-case letters'],
  [['init', 'a', 'b'], 'too many arguments'],
])('%j is refused and writes nothing', async (args, message) => {
  const { code, stderr } = await cli(args, { cwd: project });
  expect(code).toBe(2);
  expect(stderr).toContain(message);
  expect(await readdir(project)).not.toContain('zdd.yaml');
});

test('a folder that cannot be written is told, with what still works', async () => {
  const blocked = join(folder.path, 'blocked');
  await mkdir(blocked);
  await writeFile(join(blocked, 'index.html'), '<!doctype html>');
  await mkdir(join(blocked, 'zdd.yaml'));
  const { code, stderr } = await cli(['init', '--force'], { cwd: blocked });
  expect(code).toBe(2);
  expect(stderr).toContain('zdd.yaml cannot be written');
  expect(stderr).toContain('zdd-agent init --dry-run');
  expect((await readdir(blocked)).sort()).toEqual(['index.html', 'zdd.yaml']);
});

/** On a terminal of its own, by util-linux `script`; its keyboard is our stdin. */
function onTerminal(...args: string[]): Running {
  const line = ['stty cols 80;', 'exec', CLI, 'init', ...args].join(' ');
  terminal = watchChild(
    spawn('script', ['-qec', line, '/dev/null'], {
      cwd: project,
      env: { ...environment({}), TERM: 'xterm' },
      stdio: ['pipe', 'pipe', 'pipe'],
    }),
    `on a terminal: ${line}`,
  );
  return terminal;
}

test('on a terminal it asks for the app and the host; Enter takes what is proposed', async () => {
  const init = onTerminal();
  await init.says('name of the app on the host [my-shop]: ');
  init.child.stdin?.write('\r');
  await init.says('where to push');
  init.child.stdin?.write('\r');
  expect((await init.ended()).code).toBe(0);
  const written = parse(await read('zdd.yaml'));
  expect(written).toMatchObject({ app: 'my-shop' });
  expect(written).not.toHaveProperty('environments');
});

test('on a terminal a name that does not fit is asked for again', async () => {
  const init = onTerminal();
  await init.says('[my-shop]: ');
  init.child.stdin?.write('My Shop!\r');
  await init.says('at most 31');
  await until(() => init.stdout().split('[my-shop]: ').length === 3, init.stdout);
  init.child.stdin?.write('boutique\r');
  await init.says('where to push');
  init.child.stdin?.write('deploy@web1.example.com, deploy@web2.example.com\r');
  expect((await init.ended()).code).toBe(0);
  expect(parse(await read('zdd.yaml'))).toMatchObject({
    app: 'boutique',
    environments: {
      production: { hosts: ['deploy@web1.example.com', 'deploy@web2.example.com'] },
    },
  });
});

test.each([
  ['Ctrl-C', '\u0003'],
  ['Ctrl-D', '\u0004'],
])('%s at a question ends with 130 and writes nothing', async (_name, key) => {
  const init = onTerminal();
  await init.says('[my-shop]: ');
  init.child.stdin?.write(key);
  expect((await init.ended()).code).toBe(130);
  expect(await readdir(project)).not.toContain('zdd.yaml');
});

test('on a terminal nothing is asked with --yes, with --json, or when all is said', async () => {
  for (const args of [['--yes'], ['--json'], ['--app', 'shop', '--host', 'web1']]) {
    const init = onTerminal('--force', ...args);
    const { code, stdout } = await init.ended();
    expect(code).toBe(0);
    expect(stdout).not.toContain('where to push, such as');
  }
  expect((await stat(join(project, 'zdd.yaml'))).isFile()).toBe(true);
});

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import { cli, temporaryFolder } from '../run-cli.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => folder.remove());

const write = (text: string) => writeFile(join(folder.path, 'zdd.yaml'), text);
const show = (...args: string[]) => cli(['config', 'show', ...args], { cwd: folder.path });

const FULL = `# a comment above
app: shop
routes: [shop.example.com, "*.shop.example.com"]
environments:
  production: { hosts: [deploy@web1.example.com] }
processes:
  web:
    run: node server.js
    health: /healthz
    limits: { memory: 512M, cpu: 150% }
  api:
    run: [node, api.js, "--name=a: b # c"]
    listen: port
  worker:
    run: |
      set -e
      node worker.js
    overlap: false
    stop: { grace: 1m30s }
    env: { GREETING: "yes", EMPTY: "" }
release: npm run migrate
smoke:
  - path: /login
    contains: "Sign in:"
bake: 90s
drain: { pace: 10/s }
shared: [uploads/]
`;

test('config show prints everything, defaults and what follows from names included', async () => {
  await write('app: shop\nprocesses:\n  web:\n    run: node server.js\n');
  const { code, stdout, stderr } = await show();
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(parse(stdout)).toMatchObject({
    app: 'shop',
    routes: ['*'],
    processes: {
      web: {
        run: 'node server.js',
        instances: 1,
        listen: 'socket',
        health: { path: '/', status: 200, timeout: '2s', interval: '250ms', within: '30s' },
        stop: { grace: '10s' },
      },
    },
    bake: '2m',
    warm: '10m',
    drain: { requests: '10m', pace: '50/s' },
    keep: 5,
  });
});

test('what config show prints is a zdd.yaml of the same meaning', async () => {
  await write(FULL);
  const meaning = async () => {
    const { code, stdout } = await show('--json');
    expect(code).toBe(0);
    return JSON.parse(stdout).config;
  };
  const before = await meaning();
  for (const args of [[], ['--origin']]) {
    await write(FULL);
    const { stdout } = await show(...args);
    await write(stdout);
    expect(await cli(['config', 'check'], { cwd: folder.path })).toMatchObject({ code: 0 });
    expect(await meaning()).toEqual(before);
  }
});

test('--origin tells the line of each value of the file, and which ones are defaults', async () => {
  await write(FULL);
  const { stdout } = await show('--origin');
  const origins = new Map(
    stdout.split('\n').flatMap((line): [string, string][] => {
      const [, code, origin] = /^(.*?) +# (\S+)$/.exec(line) ?? [];
      return code === undefined || origin === undefined ? [] : [[code, origin]];
    }),
  );
  expect(Object.fromEntries(origins)).toMatchObject({
    'app: shop': 'zdd.yaml:2',
    'routes: [shop.example.com, "*.shop.example.com"]': 'zdd.yaml:3',
    '    hosts: [deploy@web1.example.com]': 'zdd.yaml:5',
    '      path: /healthz': 'zdd.yaml:9',
    '      within: 30s': 'default',
    '      memory: 512M': 'zdd.yaml:10',
    '      cpu: 150%': 'zdd.yaml:10',
    '    run: [node, api.js, "--name=a: b # c"]': 'zdd.yaml:12',
    '    listen: port': 'zdd.yaml:13',
    '    listen: socket': 'default',
    '    run: "set -e\\nnode worker.js\\n"': 'zdd.yaml:15',
    '      grace: 1m30s': 'zdd.yaml:19',
    '      GREETING: yes': 'zdd.yaml:20',
    '  run: npm run migrate': 'zdd.yaml:21',
    '  timeout: 10m': 'default',
    '  - path: /login': 'zdd.yaml:23',
    '    contains: "Sign in:"': 'zdd.yaml:24',
    '    method: GET': 'default',
    'bake: 1m30s': 'zdd.yaml:25',
    '  pace: 10/s': 'zdd.yaml:26',
    'keep: 5': 'default',
  });
});

test('--json has the values as the agent counts them, as they are written, and each origin', async () => {
  await write(FULL);
  const { stdout } = await show('--origin', '--json');
  const value = JSON.parse(stdout);
  expect(value).toMatchObject({
    schemaVersion: 1,
    file: join(folder.path, 'zdd.yaml'),
    config: { bake: 90_000, processes: { web: { limits: { memory: 536_870_912, cpu: 150 } } } },
    written: { bake: '1m30s', processes: { web: { limits: { memory: '512M', cpu: '150%' } } } },
  });
  expect(value.origins).toContainEqual({ path: 'bake', from: 'file', line: 25 });
  expect(value.origins).toContainEqual({ path: 'warm', from: 'default' });
});

test('values that come through an alias are told by the line where they stand', async () => {
  await write(`app: shop
processes:
  web: &web
    run: node server.js
    health: { path: /up }
  api: *web
`);
  const { code, stdout } = await show('--origin');
  expect(code).toBe(0);
  expect(stdout.match(/path: \/up +# zdd\.yaml:5/g)).toHaveLength(2);
});

test('a file with problems is told as config check tells it', async () => {
  await write('app: shop\nprocesses: {}\n');
  const shown = await show();
  const checked = await cli(['config', 'check'], { cwd: folder.path });
  expect(shown.code).toBe(10);
  expect(shown).toEqual(checked);
});

test('without a zdd.yaml, or with one that cannot be read, it says so', async () => {
  expect(await show()).toMatchObject({
    code: 10,
    stderr: expect.stringContaining('ZDD_CONFIG_MISSING'),
  });
  expect(await show('nope.yaml')).toMatchObject({
    code: 10,
    stderr: expect.stringContaining('nope.yaml cannot be read'),
  });
});

test('config schema prints the published schema', async () => {
  const published = await readFile(
    fileURLToPath(new URL('../../../templates/zdd.schema.json', import.meta.url)),
    'utf8',
  );
  expect(await cli(['config', 'schema'])).toEqual({ code: 0, stdout: published, stderr: '' });
  const { stdout } = await cli(['config', 'schema', '--json']);
  expect(JSON.parse(stdout)).toEqual(JSON.parse(published));
});

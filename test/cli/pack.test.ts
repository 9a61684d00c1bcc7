import { execFileSync } from 'node:child_process';
import { chmod, chown, link, mkdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ZddError } from '../../agent/protocol/errors.ts';
import { packFolder } from '../../cli/push/pack/pack.ts';
import { cli, temporaryFolder } from './run-cli.ts';
import { ZDD_YAML } from './samples.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let project: string;
const { signal } = new AbortController();

beforeEach(async () => {
  folder = await temporaryFolder();
  project = await makeProject('project');
});
afterEach(() => folder.remove());

async function makeProject(name: string): Promise<string> {
  const root = join(folder.path, name);
  await put(join(root, 'zdd.yaml'), ZDD_YAML);
  await put(join(root, 'server.js'), 'listen()\n');
  await put(join(root, 'public', 'index.html'), '<h1>1</h1>');
  await put(join(root, 'bin', 'run'), '#!/bin/sh\n', 0o755);
  return root;
}

async function put(path: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  await chmod(path, mode);
}

/** The archive as GNU tar lists it. */
async function listed(root = project): Promise<string[]> {
  const packed = await packFolder(root, signal);
  const list = execFileSync('tar', ['-tzf', packed.path], { encoding: 'utf8' });
  await packed.remove();
  return list.trim().split('\n');
}

async function verbose(root = project): Promise<string> {
  const packed = await packFolder(root, signal);
  const env = { ...process.env, TZ: 'UTC' };
  const list = execFileSync('tar', ['-tvzf', packed.path, '--full-time'], {
    encoding: 'utf8',
    env,
  });
  await packed.remove();
  return list;
}

async function digest(root = project): Promise<string> {
  const packed = await packFolder(root, signal);
  await packed.remove();
  return packed.sha256;
}

async function refused(root = project): Promise<ZddError> {
  const error = await packFolder(root, signal).then(
    () => null,
    (cause: unknown) => cause,
  );
  if (error instanceof ZddError) return error;
  throw new Error(`expected a refusal, got ${error}`);
}

test('the same contents give the same bytes, whenever and wherever they are packed', async () => {
  const first = await digest();
  expect(await digest()).toBe(first);
  await utimes(join(project, 'server.js'), new Date(), new Date(2_000_000_000_000));
  await utimes(join(project, 'public'), new Date(), new Date(2_000_000_000_000));
  if (process.getuid?.() === 0) await chown(join(project, 'server.js'), 12_345, 12_345);
  expect(await digest()).toBe(first);
  const other = await makeProject('elsewhere');
  expect(await digest(other)).toBe(first);
  await writeFile(join(project, 'server.js'), 'listen(2)\n');
  expect(await digest()).not.toBe(first);
});

test('hard links travel as files, so that the archive does not depend on them', async () => {
  await put(join(project, 'a'), 'same');
  await put(join(project, 'b'), 'same');
  const apart = await digest();
  await rm(join(project, 'b'));
  await link(join(project, 'a'), join(project, 'b'));
  expect(await digest()).toBe(apart);
  expect(await verbose()).not.toContain('link to');
});

test('files of one size and different contents have different times, so that ETags differ', async () => {
  const time = (text: string) => /(\d{4}-\S+ \S+) server\.js/.exec(text)?.[1];
  const before = time(await verbose());
  await put(join(project, 'server.js'), 'LISTEN()\n');
  const after = time(await verbose());
  expect(before).toMatch(/^200\d-/);
  expect(after).toMatch(/^200\d-/);
  expect(after).not.toBe(before);
});

test('modes travel, owners and special bits do not', async () => {
  await chmod(join(project, 'public'), 0o2775);
  const list = await verbose();
  expect(list).toMatch(/^-rwxr-xr-x 0\/0 .* bin\/run$/m);
  expect(list).toMatch(/^drwxr-xr-x 0\/0 .* public\/$/m);
});

test('paths are sorted and whole, with odd names and empty folders', async () => {
  await put(join(project, '@odd'), 'not an archive');
  await put(join(project, '-dash'), 'x');
  await put(join(project, 'ü', `${'long/'.repeat(30)}name`), 'x');
  await mkdir(join(project, 'empty'));
  const list = execFileSync('sh', ['-c', 'LC_ALL=C sort'], {
    input: (await listed()).join('\n'),
    encoding: 'utf8',
  });
  expect((await listed()).join('\n')).toBe(list.trim());
  expect(list).toContain('@odd');
  expect(list).toContain('empty/');
  expect(list).toContain(`${'long/'.repeat(30)}name`);
});

test('.git never travels, and .zddignore speaks the language of .gitignore', async () => {
  await put(join(project, '.git', 'config'), 'x');
  await put(join(project, 'vendor', 'lib', '.git'), 'gitdir: ../../.git/modules/lib');
  await put(join(project, 'vendor', 'lib', 'kept.js'), 'x');
  await put(join(project, 'node_modules', 'x', 'index.js'), 'x');
  await put(join(project, 'logs', 'today.log'), 'x');
  await put(join(project, 'logs', 'keep.log'), 'x');
  await put(join(project, 'src', 'secret.env'), 'x');
  await put(join(project, 'build'), 'a file, not a folder');
  await put(
    join(project, '.zddignore'),
    '# comment\nnode_modules/\n*.log\n!keep.log\n**/*.env\nbuild/\n/public/*.html\nzdd.yaml\n',
  );
  const list = await listed();
  expect(list.filter((path) => !path.endsWith('/'))).toEqual([
    '.zddignore',
    'bin/run',
    'build',
    'logs/keep.log',
    'server.js',
    'vendor/lib/kept.js',
    'zdd.yaml',
  ]);
});

test('a .zddignore that cannot be read stops the push: it may keep secrets back', async () => {
  await mkdir(join(project, '.zddignore'));
  expect((await refused()).message).toBe('.zddignore cannot be read');
});

test('links within the folder travel as links, those that lead out are refused together with all other bad paths', async () => {
  await symlink('server.js', join(project, 'current.js'));
  await symlink('../server.js', join(project, 'bin', 'up-and-in'));
  await symlink('shared/uploads', join(project, 'uploads'));
  expect(await verbose()).toContain('current.js -> server.js');
  await symlink('/etc/passwd', join(project, 'absolute'));
  await symlink('../../outside', join(project, 'bin', 'out'));
  await symlink('..', join(project, 'public', 'up'));
  await symlink('public/up/../..', join(project, 'round'));
  execFileSync('mkfifo', [join(project, 'pipe')]);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(project, 'app.sock'), resolve));
  const error = await refused();
  await new Promise((resolve) => server.close(resolve));
  expect(error.code).toBe('ZDD_ARTIFACT_UNSAFE');
  expect(error.exit).toBe(10);
  expect(Object.fromEntries(error.evidence)).toEqual({
    absolute: 'a link to the absolute path /etc/passwd',
    'app.sock': 'a socket: only files, folders and links travel',
    'bin/out': 'a link out of the folder, to ../../outside',
    pipe: 'a named pipe: only files, folders and links travel',
    round: 'a link out of the folder, to public/up/../..',
  });
});

test('a link that looks inside and leads out through another link is refused', async () => {
  await put(join(folder.path, 'outside', 'secret'), 'x');
  await mkdir(join(project, 'a', 'b'), { recursive: true });
  await symlink('../..', join(project, 'a', 'b', 'top'));
  // By its letters a/b/outside/secret; followed, beside the folder.
  await symlink('a/b/top/../outside/secret', join(project, 'sneaky'));
  expect(Object.keys(Object.fromEntries((await refused()).evidence))).toEqual(['sneaky']);
});

test('what is ignored is not looked at', async () => {
  execFileSync('mkfifo', [join(project, 'pipe')]);
  await symlink('/etc/passwd', join(project, 'absolute'));
  await put(join(project, '.zddignore'), 'pipe\nabsolute\n');
  expect(await listed()).toContain('server.js');
});

test('many bad paths are counted after the first ones', async () => {
  for (let n = 0; n < 30; n += 1) await symlink('/', join(project, `bad-${n}`));
  const error = await refused();
  expect(error.message).toBe('30 paths cannot be sent');
  expect(error.evidence.at(-1)).toEqual(['…', 'and 10 more']);
});

test('a name that is not UTF-8 is refused', async () => {
  await writeFile(Buffer.concat([Buffer.from(`${project}/bad-`), Buffer.from([0xff])]), 'x');
  expect((await refused()).evidence[0]?.[1]).toBe('its name is not UTF-8');
});

test('what may not be read is refused before anything is sent', async () => {
  await put(join(project, 'secret.key'), 'x', 0o000);
  await mkdir(join(project, 'locked'), { mode: 0o000 });
  // Root may read everything: the CLI has to run as somebody else.
  const nobody = process.getuid?.() === 0 ? { uid: 65_534 } : {};
  await chmod(folder.path, 0o755);
  const ran = await cli(['push', '--dry-run'], { cwd: project, socket: '/none', ...nobody });
  await chmod(join(project, 'locked'), 0o755);
  expect(ran.code).toBe(10);
  expect(ran.stderr).toContain('2 paths cannot be sent');
  expect(ran.stderr).toMatch(/secret\.key +no permission to read it/);
  expect(ran.stderr).toMatch(/locked +no permission to read it/);
});

test('a folder in which everything is ignored but zdd.yaml still has that', async () => {
  await put(join(project, '.zddignore'), '*\n');
  expect(await listed()).toEqual(['zdd.yaml']);
});

test('large files are hashed and packed whole', async () => {
  await writeFile(join(project, 'large.bin'), Buffer.alloc(3 * 1024 * 1024 + 17, 7));
  const packed = await packFolder(project, signal);
  const size = execFileSync('sh', ['-c', `tar -xzOf ${packed.path} large.bin | wc -c`]);
  await packed.remove();
  expect(Number(size)).toBe(3 * 1024 * 1024 + 17);
  expect(packed.files).toBe(5);
});

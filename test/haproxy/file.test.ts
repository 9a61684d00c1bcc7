import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigEdited, writeConfig } from '../../agent/haproxy/config/draft.ts';
import { replaceRegion } from '../../agent/haproxy/config/region.ts';
import { soon } from './harness.ts';

let folder: string;
let path: string;
const admin =
  'global\n  maxconn 100\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n';
const good = 'frontend f\n  bind 127.0.0.1:1\nbackend zdd_a\n  server r1 127.0.0.1:1\n';
const write = (text: string): Promise<void> => writeConfig(path, text, 'haproxy', soon());

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'zdd-file-'));
  path = join(folder, 'haproxy.cfg');
});

afterEach(() => rm(folder, { recursive: true, force: true }));

describe('writing haproxy.cfg', () => {
  it('keeps the file before, the mode, and leaves no temporary file', async () => {
    await writeFile(path, admin);
    await chmod(path, 0o604);
    const text = replaceRegion(admin, good);
    await write(text);
    expect(await readFile(path, 'utf8')).toBe(text);
    expect((await stat(path)).mode & 0o777).toBe(0o604);
    expect(await readFile(`${path}.previous`, 'utf8')).toBe(admin);
    expect((await readdir(folder)).sort()).toEqual(['haproxy.cfg', 'haproxy.cfg.previous']);
  });

  it('follows a link instead of replacing it', async () => {
    const target = join(folder, 'real.cfg');
    await writeFile(target, admin);
    await symlink(target, path);
    await write(replaceRegion(admin, good));
    expect(await readFile(target, 'utf8')).toContain('zdd_a');
    expect(await readFile(path, 'utf8')).toContain('zdd_a');
  });

  it('changes nothing and names the line when the part of the admin is broken', async () => {
    const before = replaceRegion(`${admin.replace('maxconn 100', 'maxcon 100')}`, '');
    await writeFile(path, before);
    await expect(write(replaceRegion(before, good))).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_CONFIG_INVALID',
      message: expect.stringMatching(/^haproxy\.cfg line 2, outside .*unknown keyword 'maxcon'/),
      evidence: expect.arrayContaining([['line 2 (yours)', 'maxcon 100']]),
    });
    expect(await readFile(path, 'utf8')).toBe(before);
    expect(await readdir(folder)).toEqual(['haproxy.cfg']);
  });

  it('names the line below the region as it stands in the file now, not in the new one', async () => {
    const before = `${replaceRegion(admin, '')}backend mine\n  blance roundrobin\n`;
    await writeFile(path, before);
    const line = before.split('\n').indexOf('  blance roundrobin') + 1;
    await expect(write(replaceRegion(before, good))).rejects.toMatchObject({
      evidence: expect.arrayContaining([[`line ${line} (yours)`, 'blance roundrobin']]),
      tries: expect.arrayContaining([`sed -n ${line}p ${path}`]),
    });
  });

  it('says so when the region itself is at fault', async () => {
    await writeFile(path, admin);
    await expect(
      write(replaceRegion(admin, 'backend zdd_a\n  server r1 nonsense nonsense\n')),
    ).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_CONFIG_INVALID',
      message: expect.stringContaining('inside the managed region'),
    });
    expect(await readFile(path, 'utf8')).toBe(admin);
  });

  it('says so when there is no haproxy to check with', async () => {
    await expect(writeConfig(path, admin, join(folder, 'none'), soon())).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_CONFIG_INVALID',
    });
    expect(await readdir(folder)).toEqual([]);
  });
});

it('an edit made while the new file is checked is not lost', async () => {
  await writeFile(path, `${admin}# an edit\n`);
  await expect(
    writeConfig(path, `${admin}${good}`, 'haproxy', soon(), admin),
  ).rejects.toBeInstanceOf(ConfigEdited);
  expect(await readFile(path, 'utf8')).toBe(`${admin}# an edit\n`);
});

describe('the file before', () => {
  const first = replaceRegion(admin, good);

  it('stays when the file was emptied: that says nothing anybody would want back', async () => {
    await writeFile(path, admin);
    await write(first);
    await writeFile(path, '\n');
    await write(first);
    expect(await readFile(`${path}.previous`, 'utf8')).toBe(admin);
  });

  it('is another file than the one that stands there, also after a write that came to nothing', async () => {
    await writeFile(path, admin);
    await write(first);
    await expect(writeConfig(path, first, 'haproxy', soon(), 'else')).rejects.toBeInstanceOf(
      ConfigEdited,
    );
    await writeFile(path, '');
    expect(await readFile(`${path}.previous`, 'utf8')).toBe(admin);
  });
});

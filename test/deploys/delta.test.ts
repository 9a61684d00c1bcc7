import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { layOutRelease } from '../../examples/build-release.ts';
import { QUICK, settled } from './shop.ts';

let host: PrivateHost;
let project: string;
const at = (name: string) => join(project, name);

beforeAll(async () => {
  host = await PrivateHost.start();
  project = join(host.dir, 'project');
  await mkdir(project);
  await layOutRelease(project, { behaviour: { version: 'v1' }, config: { ...QUICK, keep: 2 } });
  await writeFile(at('large.bin'), randomBytes(400_000));
});
afterAll(async () => {
  await host.remove();
});

async function push(...args: string[]): Promise<string> {
  const ran = await host.cli(['push', project, ...args]);
  expect(ran.stderr, ran.stdout).not.toContain('Error');
  expect(ran.code).toBe(0);
  await settled(host);
  return ran.stdout + ran.stderr;
}

const live = async () => (await host.app('shop'))?.live ?? '';
async function lastDeployment(): Promise<number> {
  const ended = (await host.events()).findLast(({ type }) => type === 'deployment_ended');
  return ended?.deployment ?? 0;
}
const artifactsDir = () => join(host.stateDir, 'artifacts');
const releaseDir = (release: string) => join(host.stateDir, 'apps/shop/releases', release);

test('--dry-run of a first push tells of it and changes nothing', async () => {
  const { stdout, code } = await host.cli(['push', project, '--dry-run']);
  expect(code).toBe(0);
  expect(stdout).toContain('would be      r1-');
  expect(stdout).toMatch(/files +31 added/);
  expect(stdout).toContain('+ backend zdd_shop'.replace('+ ', '+'));
  expect(await readdir(artifactsDir()).catch(() => [])).toEqual([]);
  expect((await host.app('shop'))?.live).toBe(undefined);
});

test('the first push sends everything, the next one only what is new, and both are whole', async () => {
  expect(await push()).toMatch(/send +31 files, \d+\.\d kB sent/);
  await writeFile(at('new.txt'), 'new');
  await rm(at('README.md'));
  await chmod(at('large.bin'), 0o755);
  const said = await push();
  expect(said).toMatch(/send +1 changed, \d\.\d kB sent, 5\d\d\.\d kB already there/);
  const release = releaseDir(await live());
  expect(await readFile(join(release, 'new.txt'), 'utf8')).toBe('new');
  expect(await readFile(join(release, 'large.bin'))).toEqual(await readFile(at('large.bin')));
  expect((await stat(join(release, 'large.bin'))).mode & 0o777).toBe(0o555);
  expect((await stat(join(release, 'large.bin'))).nlink).toBe(1);
  expect(await readdir(release)).not.toContain('README.md');
});

test('a whole tarball of the same folder, and --whole, are the very same release', async () => {
  const before = await live();
  const tarball = join(host.dir, 'shop.tar.zst');
  execFileSync('sh', ['-c', `tar -C ${project} -cf - . | zstd -q -o ${tarball}`]);
  const packed = await host.cli(['push', tarball]);
  expect(packed.stdout + packed.stderr).toContain('already on the host');
  expect(packed.code).toBe(0);
  await settled(host);
  expect(await live()).toBe(before);
  expect(await push('--whole')).toMatch(/send +31 files, 4\d\d\.\d kB sent/);
  expect(await live()).toBe(before);
});

test('--dry-run of a later push tells files, configuration, HAProxy, draining and pruning', async () => {
  const old = await live();
  await writeFile(at('new.txt'), 'newer');
  await rm(at('large.bin'));
  await writeFile(at('added.txt'), '');
  const yaml = await readFile(at('zdd.yaml'), 'utf8');
  await writeFile(at('zdd.yaml'), `${yaml}env: { COLOUR: blue }\n`.replace(/keep: 2/, 'keep: 1'));
  const events = (await host.events()).length;
  const ran = await host.cli(['push', project, '--dry-run']);
  expect(ran.code).toBe(0);
  for (const line of [
    /would be +r3-/,
    /files +1 added, 2 changed, 1 removed/,
    /\+ added\.txt/,
    /~ new\.txt/,
    /- large\.bin/,
    /\+keep: 1/,
    /-keep: 2/,
    /- {2}server r2-/,
    /\+ {2}server r3-/,
    new RegExp(`would drain +${old}, now with \\d+ request`),
    /would prune +r1-/,
  ]) {
    expect(ran.stdout).toMatch(line);
  }
  const { stdout } = await host.cli(['push', project, '--dry-run', '--json']);
  expect(JSON.parse(stdout)).toMatchObject({
    dryRun: true,
    preview: { live: { release: old }, files: { removed: { count: 1, some: ['large.bin'] } } },
  });
  // Asked as often as one likes, nothing has happened, and no number was taken.
  expect((await host.events()).length).toBe(events);
  await push();
  expect(await live()).toMatch(/^r3-/);
  // r3 took its contents from r2, which is the way back: what it no longer needs goes as foretold.
  await host.until('r1 to be pruned', 20_000, async () => {
    const releases = await readdir(join(host.stateDir, 'apps/shop/releases'));
    return (
      releases
        .map((name) => name.split('-')[0])
        .toSorted()
        .join() === 'r2,r3' || undefined
    );
  });
});

test('a content that was changed on the host is found out, and then all of it is sent', async () => {
  const release = releaseDir(await live());
  await chmod(join(release, 'server.js'), 0o644);
  const content = await readFile(join(release, 'server.js'), 'utf8');
  await writeFile(join(release, 'server.js'), content.replace('a', 'b'));
  for (const other of await readdir(join(host.stateDir, 'apps/shop/releases'))) {
    if (releaseDir(other) !== release) await rm(releaseDir(other), { recursive: true });
  }
  await writeFile(at('another.txt'), 'x');
  expect(await push()).toMatch(/1 changed.*all of it is sent.*32 files, /s);
  const failed = await host.cli(['why', '--app', 'shop', String((await lastDeployment()) - 1)]);
  expect(failed.stdout).toContain('ZDD_ARTIFACT_DIGEST');
  expect(failed.stdout).toContain('untouched');
  expect(await readFile(join(releaseDir(await live()), 'server.js'), 'utf8')).toBe(content);
});

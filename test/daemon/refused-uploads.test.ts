import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';

/** Nothing is deployed here, so the daemon is alone: no HAProxy answers. */
const ALONE = {
  haproxy: {
    mode: 'system',
    bind: ['127.0.0.1:1'],
    admin_socket: '/nonexistent/admin.sock',
    master_socket: '/nonexistent/master.sock',
    config: '/nonexistent/haproxy.cfg',
  },
};
const CONFIG = 'app: refused\nprocesses:\n  worker:\n    run: sleep 600\n';

let host: PrivateHost;
let project: string;

beforeAll(async () => {
  host = await PrivateHost.start({
    settings: { ...ALONE, limits: { reserve_bytes: 1024, artifact_bytes: 1024 * 1024 } },
  });
});
afterAll(async () => {
  await host.remove();
});
beforeEach(async () => {
  project = join(host.dir, 'project');
  await rm(project, { recursive: true, force: true });
  await mkdir(project);
  await writeFile(join(project, 'zdd.yaml'), CONFIG);
});

/** Pushes, wants it refused, and nothing of it on the far side. */
async function refused(there: PrivateHost, code: string, exit: number): Promise<string> {
  const ran = await there.cli(['push', project]);
  expect(ran.stderr).toContain(code);
  expect(ran.stderr).toContain('Try:');
  expect(ran.code).toBe(exit);
  expect(await readdir(join(there.stateDir, 'artifacts')).catch(() => [])).toEqual([]);
  expect(await readdir(join(there.stateDir, 'apps')).catch(() => [])).toEqual([]);
  // Without the breaks of lines.
  return ran.stderr.replaceAll(/\s+/g, ' ');
}

test('names that are one name elsewhere are refused before a content travels', async () => {
  await writeFile(join(project, 'Name.js'), 'x');
  await writeFile(join(project, 'name.js'), 'x');
  expect(await refused(host, 'ZDD_ARTIFACT_UNSAFE', 10)).toContain('in case or accents only');
});

test('paths that are too long are refused before a content travels', async () => {
  const deep = join(project, ...Array.from({ length: 5 }, () => 'd'.repeat(250)));
  await mkdir(deep, { recursive: true });
  await writeFile(join(deep, 'x'), 'x');
  const said = await refused(host, 'ZDD_ARTIFACT_TOO_LARGE', 10);
  expect(said).toContain('a path longer than 1024 bytes');
});

test('the file that the agent keeps for itself is refused', async () => {
  await writeFile(join(project, '.zdd-manifest'), 'x');
  const said = await refused(host, 'ZDD_ARTIFACT_UNSAFE', 10);
  expect(said).toContain('the agent keeps its own file of this name');
});

test('more than the limit is refused while it comes', async () => {
  await writeFile(join(project, 'huge.bin'), randomBytes(3 * 1024 * 1024));
  await refused(host, 'ZDD_ARTIFACT_TOO_LARGE', 10);
});

test('a full disk is told before a content travels, with exit code 20', async () => {
  const full = await PrivateHost.start({
    settings: { ...ALONE, limits: { reserve_bytes: Number.MAX_SAFE_INTEGER } },
  });
  try {
    await writeFile(join(project, 'some.bin'), randomBytes(300_000));
    const said = await refused(full, 'ZDD_DISK_FULL', 20);
    expect(said).toContain('df -h');
  } finally {
    await full.remove();
  }
});

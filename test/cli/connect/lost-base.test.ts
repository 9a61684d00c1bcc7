import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PrivateHost } from '../../../demo/private-host.ts';
import { cli, temporaryFolder } from '../run-cli.ts';
import { type Laptop, laptop, makeKey, type Sshd, startSshd } from './sshd.ts';

const APP =
  'app: shop\nprocesses:\n  worker:\n    run: sleep 600\n    alive: 100ms\nkeep: 2\nbake: 0s\n';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let host: PrivateHost;
let sshd: Sshd;
let me: Laptop;
let project: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  host = await PrivateHost.start();
  sshd = await startSshd(join(folder.path, 'sshd'));
  me = await laptop(folder.path);
  await sshd.allow(await makeKey(me.at('id_ed25519')));
  project = join(folder.path, 'project');
  await mkdir(project);
  await writeFile(join(project, 'zdd.yaml'), APP);
  await writeFile(join(project, 'base.bin'), randomBytes(50_000));
  expect((await push('--accept-new')).code).toBe(0);
});
afterAll(async () => {
  await sshd.stop();
  await host.remove();
  await folder.remove();
});

async function push(...args: readonly string[]) {
  return await cli(['push', '--host', sshd.destination, '--socket', host.socket, ...args], {
    cwd: project,
    env: { HOME: me.home },
    deadlineMs: 50_000,
  });
}

async function live(): Promise<string> {
  const release = (await host.app('shop'))?.live ?? '';
  return join(host.stateDir, 'apps/shop/releases', release);
}

const harms = {
  'was changed': async (path: string) => {
    const bytes = await readFile(path);
    await chmod(path, 0o644);
    await writeFile(path, bytes.fill(0, 0, 9));
  },
  'has gone': async (path: string) => {
    await rm(path, { force: true });
  },
};

for (const [name, harm] of Object.entries(harms)) {
  test(`a file of the base ${name}: all of it is sent, in the same command`, async () => {
    const base = await live();
    await writeFile(join(project, 'new.txt'), name);
    await harm(join(base, 'base.bin'));
    const { code, stdout, stderr } = await push();
    expect(stderr).toMatch(
      /^ {2}! unpack: what the host had was changed or has gone; all of it is/m,
    );
    expect(stderr).toMatch(/1 changed, .* already there.*3 files, .* sent/s);
    expect(stdout).toContain('live: r');
    expect(code).toBe(0);
    const release = await live();
    expect(release).not.toBe(base);
    expect(await readFile(join(release, 'base.bin'))).toEqual(
      await readFile(join(project, 'base.bin')),
    );
  });
}

test('--detach is gone by then: the deployment fails, and says what to type', async () => {
  await writeFile(join(project, 'new.txt'), 'detached');
  await harms['was changed'](join(await live(), 'base.bin'));
  expect((await push('--detach')).code).toBe(0);
  const receipt = await host.until('it to fail', 20_000, async () => {
    const ended = (await host.events()).findLast(({ type }) => type === 'deployment_ended');
    return ended?.type === 'deployment_ended' && ended.receipt.outcome === 'failed'
      ? ended.receipt
      : undefined;
  });
  expect(receipt.error?.tries).toEqual(['zdd-agent push --whole']);
});

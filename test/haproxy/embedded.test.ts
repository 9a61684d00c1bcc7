import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stopEmbedded } from '../../agent/haproxy/haproxy.ts';
import { freePort, type Lab, openLab, shop, soon, until } from './harness.ts';
import { rawGet } from './raw.ts';

let lab: Lab;

beforeEach(async () => {
  lab = await openLab();
});

afterEach(() => lab.close());

const workerPid = async (): Promise<number> =>
  Number(/^Pid: (\d+)$/m.exec(await lab.ask('show info'))?.[1]);
/** An executable that stands in for HAProxy where a real one would have to be broken. */
async function script(name: string, lines: string): Promise<string> {
  const path = join(lab.folder, name);
  await writeFile(path, `#!/bin/sh\n${lines}\n`);
  await chmod(path, 0o755);
  return path;
}

describe('the embedded HAProxy', () => {
  it('is started with a complete file, and found again by the next daemon', async () => {
    const first = await lab.proxy.open(soon());
    expect(first).toMatchObject({ version: expect.stringMatching(/^2\.|^3\./), oldWorkers: 0 });
    await lab.app('r1');
    await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
    await lab.proxy.close();
    expect(await rawGet(lab.port, 'any')).toMatch(/r1$/);
    const next = lab.again();
    expect((await next.open(soon())).pid).toBe(first.pid);
    expect(await next.apply(shop(lab.server('r1', 100)), soon())).toMatchObject({ changed: false });
  });

  it('is found again even when the record of its process was never written', async () => {
    const first = await lab.proxy.open(soon());
    await lab.proxy.close();
    const record = join(lab.options.workDir, 'haproxy.process.json');
    await writeFile(record, '{"pid":1,"star');
    expect((await lab.again().open(soon())).pid).toBe(first.pid);
  });

  it('does not take another process with its old pid for itself', async () => {
    await lab.proxy.open(soon());
    await lab.proxy.close();
    await stopEmbedded(lab.options.workDir);
    const record = join(lab.options.workDir, 'haproxy.process.json');
    await writeFile(record, JSON.stringify({ pid: process.pid, startTime: '1' }));
    const info = await lab.again().open(soon());
    expect(info.pid).not.toBe(process.pid);
  });

  it.each(['master', 'worker'])(
    'comes back by itself with its servers when its %s is killed',
    async (who) => {
      const { pid } = await lab.proxy.open(soon());
      await lab.app('r1');
      await lab.app('r2');
      await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
      await lab.proxy.apply(shop(lab.server('r1', 0), lab.server('r2', 100)), soon());
      process.kill(who === 'master' ? pid : await workerPid(), 'SIGKILL');
      await until('another HAProxy runs', async () => {
        const now = await lab.proxy.info(soon()).catch(() => undefined);
        return now !== undefined && now.pid !== pid;
      });
      expect(await rawGet(lab.port, 'any')).toMatch(/r2$/);
      const desired = shop(lab.server('r1', 0), lab.server('r2', 100));
      expect(await lab.proxy.inspect(desired, soon())).toEqual([]);
      expect(await lab.proxy.apply(desired, soon())).toMatchObject({ changed: false });
      expect(lab.log.some((line) => line.startsWith('error haproxy has died'))).toBe(true);
    },
  );

  it('is started by an apply that finds it dead', async () => {
    const { pid } = await lab.proxy.open(soon());
    await lab.app('r1');
    process.kill(pid, 'SIGKILL');
    await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
    expect(await rawGet(lab.port, 'any')).toMatch(/r1$/);
  });

  it('says what HAProxy says when it cannot start', async () => {
    await writeFile(
      lab.options.configPath,
      `global\n  stats socket ${lab.options.adminSocket} level admin\n`,
    );
    const room = lab.again({ bind: ['192.0.2.1:80'] });
    await expect(room.open(soon())).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_DOWN',
      evidence: [['HAProxy says', expect.stringMatching(/cannot bind socket/)]],
    });
  });
});

describe('the program', () => {
  it('is refused when it is older than 2.6', async () => {
    const binary = await script('old', 'echo "HAProxy version 2.4.22-0ubuntu0.22.04.2 2023/08/14"');
    await expect(lab.again({ binary }).open(soon())).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_TOO_OLD',
      tries: expect.arrayContaining(['haproxy -v']),
    });
    const older = await script('older', 'echo "HA-Proxy version 1.8.30 2021/04/12"');
    await expect(lab.again({ binary: older }).open(soon())).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_TOO_OLD',
    });
  });

  it('is missed when it is not there', async () => {
    const room = lab.again({ binary: join(lab.folder, 'none') });
    await expect(room.open(soon())).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_DOWN',
      tries: expect.arrayContaining(['apt-get install haproxy']),
    });
  });
});

describe('a reload', () => {
  it('that HAProxy refuses leaves the old worker and the old file', async () => {
    await lab.proxy.open(soon());
    await lab.app('r1');
    await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
    const before = await lab.config();
    const pid = await workerPid();
    // The address passes haproxy -c and cannot be bound.
    const room = lab.again({ bind: [`127.0.0.1:${lab.port}`, '192.0.2.1:80'] });
    await expect(room.apply(shop(lab.server('r1', 100)), soon())).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_RELOAD_FAILED',
      evidence: [['HAProxy says', expect.stringMatching(/cannot bind socket/)]],
    });
    expect(await lab.config()).toBe(before);
    expect(await workerPid()).toBe(pid);
    expect(await rawGet(lab.port, 'any')).toMatch(/r1$/);
    expect(await lab.proxy.apply(shop(lab.server('r1', 100)), soon())).toMatchObject({
      changed: false,
    });
    // And the next good one works.
    const other = await freePort();
    const good = lab.again({ bind: [`127.0.0.1:${lab.port}`, `127.0.0.1:${other}`] });
    await good.apply(shop(lab.server('r1', 100)), soon());
    expect(await rawGet(other, 'any')).toMatch(/r1$/);
  });
});

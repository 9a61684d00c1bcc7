import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bindsOf } from '../../agent/haproxy/bindable.ts';
import { stopEmbedded } from '../../agent/haproxy/haproxy.ts';
import { freePort, type Lab, openLab, shop, soon, until } from './harness.ts';
import { rawGet } from './raw.ts';
import { answerKinds, record } from './recorder.ts';

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
    const room = lab.again({ bind: () => ['192.0.2.1:80'] });
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
  beforeEach(async () => {
    await lab.proxy.open(soon());
    await lab.app('r1', (request, response) => void answerKinds('r1', request, response));
    await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
  });

  const desired = () => shop(lab.server('r1', 100));
  const unharmed = async (before: string, pid: number): Promise<void> => {
    expect(await lab.config()).toBe(before);
    expect(await workerPid()).toBe(pid);
    expect(await rawGet(lab.port, 'any')).toMatch(/r1$/);
    expect(await lab.proxy.apply(desired(), soon())).toMatchObject({ changed: false });
  };

  it('is not even tried when the new worker could not listen: HAProxy would pause the old', async () => {
    const before = await lab.config();
    const pid = await workerPid();
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const address = taken.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const load = record(lab.port);
    for (const [bind, error] of [
      ['192.0.2.1:80', 'EADDRNOTAVAIL'],
      [`127.0.0.1:${address.port}`, 'EADDRINUSE'],
    ] as const) {
      const room = lab.again({ bind: () => [`127.0.0.1:${lab.port}`, bind] });
      await expect(room.apply(desired(), soon())).rejects.toMatchObject({
        code: 'ZDD_HAPROXY_CONFIG_INVALID',
        evidence: [
          [expect.stringMatching(/^line \d+$/), `bind ${bind}`],
          ['error', error],
        ],
      });
      await unharmed(before, pid);
    }
    expect((await load.stop()).filter(({ ok }) => !ok)).toEqual([]);
    await new Promise((resolve) => taken.close(resolve));
  });

  it('that HAProxy refuses leaves the old worker and the old file, and the next works', async () => {
    // A folder that is gone by then: neither haproxy -c nor the agent sees that it cannot bind.
    const folder = await mkdtemp(join(lab.folder, 'gone-'));
    const pid = await workerPid();
    await rm(folder, { recursive: true });
    const before = await lab.config();
    const room = lab.again({ bind: () => [`127.0.0.1:${lab.port}`, `unix@${folder}/x.sock`] });
    await expect(room.apply(desired(), soon())).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_RELOAD_FAILED',
      evidence: [['HAProxy says', expect.stringMatching(/cannot bind/)]],
    });
    await unharmed(before, pid);
    const other = await freePort();
    const good = lab.again({ bind: () => [`127.0.0.1:${lab.port}`, `127.0.0.1:${other}`] });
    await good.apply(desired(), soon());
    expect(await rawGet(other, 'any')).toMatch(/r1$/);
  });
});

describe('reading the bind lines of a file', () => {
  it('takes the plain TCP addresses and leaves the rest to HAProxy', () => {
    const text = [
      'frontend f',
      '  bind :80',
      '  bind *:443 ssl crt /x.pem',
      '  bind 127.0.0.1:1,[::1]:2',
      '  bind :::3 v6only',
      '  bind unix@/x.sock',
      '  bind 10.0.0.1:80-90',
      '  bind "$HOST:80"',
      '  # bind :9',
    ].join('\n');
    expect(bindsOf(text).map(({ line, host, port }) => `${line} ${host}|${port}`)).toEqual([
      '2 |80',
      '3 |443',
      '4 127.0.0.1|1',
      '4 ::1|2',
      '5 ::|3',
    ]);
  });
});

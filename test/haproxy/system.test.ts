import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { replaceRegion } from '../../agent/haproxy/config/region.ts';
import { renderRegion } from '../../agent/haproxy/config/render.ts';
import { sendReload } from '../../agent/haproxy/master.ts';
import {
  appOf,
  freePort,
  type Lab,
  openLab,
  shop,
  soon,
  startSystemHaproxy,
  until,
} from './harness.ts';
import { rawGet } from './raw.ts';

let lab: Lab;
let stop: (() => Promise<void>) | undefined;

beforeEach(async () => {
  lab = await openLab({ mode: 'system' });
});

afterEach(async () => {
  await stop?.();
  stop = undefined;
  await lab.close();
});

/** A file as an admin has it, with a frontend that routes to our app. */
const adminFile = (adminPort: number, more = ''): string =>
  `# kept by hand\r
global
  stats socket ${lab.options.adminSocket} mode 600 level admin expose-fd listeners
  stats maxconn 100
${more}
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s

frontend mine
  bind 127.0.0.1:${adminPort}
  http-request return status 418 content-type text/plain string "tea"
`;

describe("the system's HAProxy", () => {
  it('is used as it is found: the part of the admin stays, and works, byte for byte', async () => {
    const port = await freePort();
    const before = adminFile(port);
    ({ stop } = await startSystemHaproxy(lab, before));
    expect(await lab.proxy.open(soon())).toMatchObject({ oldWorkers: 0 });
    await lab.app('r1');
    expect(await lab.proxy.apply(shop(lab.server('r1', 100)), soon())).toMatchObject({
      reloaded: true,
    });
    expect((await lab.config()).startsWith(before)).toBe(true);
    expect(await readFile(`${lab.options.configPath}.previous`, 'utf8')).toContain(before);
    expect(await rawGet(lab.port, 'any')).toMatch(/r1$/);
    expect(await rawGet(port, 'any')).toMatch(/^HTTP\/1\.1 418 /);
  });

  it("stops before anything is touched when the admin's part is broken", async () => {
    const before = adminFile(await freePort());
    ({ stop } = await startSystemHaproxy(lab, before));
    await lab.app('r1');
    await lab.app('r2');
    await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
    const text = await lab.config();
    const spoilt = text.replace('status 418', 'statsu 418');
    await writeFile(lab.options.configPath, spoilt);
    await expect(
      lab.proxy.apply(shop(lab.server('r1', 100), lab.server('r2', 0)), soon()),
    ).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_CONFIG_INVALID',
      message: expect.stringMatching(/line 14, outside the managed region/),
    });
    expect(await lab.config()).toBe(spoilt);
    expect(await rawGet(lab.port, 'any')).toMatch(/r1$/);
    expect(await lab.ask('show stat zdd_shop 4 -1')).not.toMatch(/zdd_shop,r2/);
  });

  it('stops when the markers are damaged', async () => {
    ({ stop } = await startSystemHaproxy(lab, adminFile(await freePort())));
    await lab.app('r1');
    await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
    const text = await lab.config();
    await writeFile(lab.options.configPath, text.replace('# <<< zdd-agent', '# <<< zdd'));
    await expect(lab.proxy.apply(shop(lab.server('r1', 50)), soon())).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_REGION_BROKEN',
    });
    await expect(lab.proxy.inspect(shop(), soon())).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_REGION_BROKEN',
    });
  });

  it('survives a reload by the admin: nothing differs, nothing is done', async () => {
    ({ stop } = await startSystemHaproxy(lab, adminFile(await freePort())));
    await lab.app('r1');
    await lab.app('r2');
    await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
    const desired = shop(lab.server('r1', 30), lab.server('r2', 70));
    await lab.proxy.apply(desired, soon());
    const pid = /^Pid: .*$/m.exec(await lab.ask('show info'))?.[0];
    await sendReload(lab.master, soon());
    await until('it has reloaded', async () => !(await lab.ask('show info')).includes(`${pid}\n`));
    expect(await lab.proxy.inspect(desired, soon())).toEqual([]);
    expect(await lab.proxy.apply(desired, soon())).toEqual({
      changed: false,
      reloaded: false,
      switchMs: 0,
    });
  });

  it('says that it is down, and starts nothing', async () => {
    await writeFile(lab.options.configPath, adminFile(await freePort()));
    for (const work of [
      () => lab.proxy.open(soon()),
      () => lab.proxy.apply(shop(), soon()),
      () => lab.proxy.inspect(shop(), soon()),
      () => lab.proxy.counters('shop', soon()),
    ]) {
      await expect(work()).rejects.toMatchObject({
        code: 'ZDD_HAPROXY_DOWN',
        tries: expect.arrayContaining(['systemctl status haproxy']),
      });
    }
  });

  it('says to everybody how to begin until there is a first app, and 404 from then on', async () => {
    const region = renderRegion(
      { apps: [] },
      { bind: lab.options.bind(), chroot: undefined, mapFolder: lab.folder },
    );
    const text = replaceRegion(adminFile(await freePort()), region.text);
    ({ stop } = await startSystemHaproxy(lab, text));
    const before = await rawGet(lab.port, 'any');
    expect(before).toMatch(/^HTTP\/1\.1 503 /);
    expect(before).toMatch(/^retry-after: 30\r$/im);
    expect(before).toMatch(/^content-type: text\/html; charset=utf-8\r$/im);
    expect(before).toMatch(/<pre>zdd-agent push<\/pre>.*<\/html>$/);
    // What the installer has written is what the agent wants: nothing to do at its start.
    expect(await lab.proxy.apply({ apps: [] }, soon())).toMatchObject({ changed: false });
    await lab.app('r1');
    const app = appOf('shop', ['shop.example.com'], [lab.server('r1', 100)]);
    await lab.proxy.apply({ apps: [app] }, soon());
    expect(await rawGet(lab.port, 'any')).toMatch(/^HTTP\/1\.1 404 /);
    expect(await rawGet(lab.port, 'shop.example.com')).toMatch(/r1$/);
  });

  // Needs root: only root may give a socket to a group.
  it.runIf(process.getuid?.() === 0)(
    'opens an admin socket of its own in the region, for group haproxy, beside the one of the admin',
    async () => {
      const own = join(lab.folder, 'own.sock');
      const changes = { adminSocket: own, adminSocketInRegion: true };
      const options = {
        bind: lab.options.bind(),
        chroot: undefined,
        mapFolder: lab.folder,
        adminSocket: own,
      };
      const region = renderRegion({ apps: [] }, options).text;
      ({ stop } = await startSystemHaproxy(
        lab,
        replaceRegion(adminFile(await freePort()), region),
      ));
      const group = /^haproxy:[^:]*:(\d+)/m.exec(await readFile('/etc/group', 'utf8'))?.[1];
      const made = await stat(own);
      expect([made.gid, made.mode & 0o777]).toEqual([Number(group), 0o660]);
      const room = lab.again(changes);
      await lab.app('r1');
      // Two reloads: the new worker opens it again.
      for (const port of [lab.port, await freePort()]) {
        const moved = lab.again({ ...changes, bind: () => [`127.0.0.1:${port}`] });
        await moved.apply(shop(lab.server('r1', 100)), soon());
        expect((await stat(own)).gid).toBe(Number(group));
      }
      expect(await room.inspect(shop(lab.server('r1', 100)), soon())).toEqual([
        { what: expect.stringContaining('managed region differs') },
        { what: expect.stringContaining('a reload is due') },
      ]);
      expect(await lab.ask('show info')).toContain('Pid: ');
    },
  );

  // Needs root: only root may chroot.
  it.runIf(process.getuid?.() === 0)('reaches sockets inside its chroot', async () => {
    const root = join(lab.folder, 'jail');
    await mkdir(join(root, 'zdd'), { recursive: true });
    ({ stop } = await startSystemHaproxy(
      lab,
      adminFile(await freePort(), `  chroot ${root}\n  user root\n`),
    ));
    await lab.app('jail/zdd/r1');
    const server = { ...lab.server('jail/zdd/r1', 100), name: 'r1' };
    await lab.proxy.apply(shop(server), soon());
    expect(await lab.config()).toContain('server r1 unix@/zdd/r1.sock ');
    expect(await rawGet(lab.port, 'any')).toMatch(/r1$/);
    await lab.proxy.apply(shop({ ...server, weight: 50 }), soon());
    expect(await lab.proxy.inspect(shop({ ...server, weight: 50 }), soon())).toEqual([]);
  });
});

import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DesiredApp, DesiredProxy } from '../../agent/haproxy/desired.ts';
import { sendReload, showProcesses } from '../../agent/haproxy/master.ts';
import { appOf, freePort, type Lab, openLab, shop, soon, until } from './harness.ts';
import { rawGet } from './raw.ts';
import { answerKinds, record } from './recorder.ts';

let lab: Lab;

beforeEach(async () => {
  lab = await openLab();
  await lab.proxy.open(soon());
});

afterEach(() => lab.close());

const apply = (...apps: readonly DesiredApp[]) => lab.proxy.apply({ apps }, soon());
const differences = async (desired: DesiredProxy): Promise<readonly string[]> =>
  (await lab.proxy.inspect(desired, soon())).map(({ what }) => what);
const worker = async (): Promise<number | undefined> =>
  (await showProcesses(lab.master, soon())).current?.pid;
const map = (name: string): string => join(lab.folder, `zdd-${name}.map`);

/** Status and answer, which is the name of the app and what it was asked for. */
async function get(host: string, path = '/'): Promise<string> {
  const [head = '', body = ''] = (await rawGet(lab.port, host, path)).split('\r\n\r\n');
  return `${head.split(' ')[1]} ${body.trim()}`;
}

/** An app of its name that tells what it was asked for. */
async function asked(name: string): Promise<void> {
  await lab.app(name, (request, response) =>
    response.end(`${name} ${request.url} ${request.headers['x-forwarded-prefix'] ?? ''}`.trim()),
  );
}

function at(name: string, ...routes: Parameters<typeof appOf>[1]): DesiredApp {
  return appOf(name, routes, [lab.server(name, 100)]);
}

describe('a request', () => {
  it('goes where the longest route leads: host before wildcard before every host, then path', async () => {
    const names = ['exact', 'api', 'v2', 'deep', 'wild', 'all', 'metrics'];
    for (const name of names) await asked(name);
    await apply(
      at('exact', 'shop.example.com', 'www.example.com'),
      at('api', 'shop.example.com/api', '*.example.com/api'),
      at('v2', 'shop.example.com/api/v2/'),
      at('deep', '*.eu.example.com'),
      at('wild', '*.example.com', '*.a.b.c.d.e.com'),
      at('all', '*'),
      at('metrics', '*/metrics'),
    );
    for (const [host, path, to] of [
      ['shop.example.com', '/', 'exact'],
      ['SHOP.example.com.:8080', '/', 'exact'],
      ['www.example.com', '/api', 'exact'],
      ['shop.example.com', '/api', 'api'],
      ['shop.example.com', '/api?q=/api/v2', 'api'],
      ['shop.example.com', '/apix', 'exact'],
      ['shop.example.com', '/API', 'exact'],
      ['shop.example.com', '/api/v2', 'v2'],
      ['shop.example.com', '/api/v2/x', 'v2'],
      ['shop.example.com', '/api/v22', 'api'],
      ['x.eu.example.com', '/', 'deep'],
      ['x.y.z.eu.example.com', '/q', 'deep'],
      ['x.eu.example.com', '/api', 'deep'],
      ['eu.example.com', '/', 'wild'],
      ['blog.example.com', '/api/1', 'api'],
      ['x.a.b.c.d.e.com', '/', 'wild'],
      ['example.com', '/', 'all'],
      ['localhost', '/metrics', 'metrics'],
      ['localhost', '/', 'all'],
    ] as const) {
      expect([host, path, (await get(host, path)).split(' ')[1]]).toEqual([host, path, to]);
    }
  });

  it('loses the path of its route where that is wished, and the app is told', async () => {
    for (const name of ['shop', 'api', 'deep']) await asked(name);
    await apply(
      at('shop', 'shop.example.com'),
      at('api', { route: 'shop.example.com/api', strip: true }),
      at('deep', { route: '*/a/b/c/d', strip: true }),
    );
    expect(await get('shop.example.com', '/x?y=1')).toBe('200 shop /x?y=1');
    expect(await get('shop.example.com', '/api')).toBe('200 api / /api');
    expect(await get('shop.example.com', '/api/')).toBe('200 api / /api');
    expect(await get('shop.example.com', '/api/x/y/?q=a/b')).toBe('200 api /x/y/?q=a/b /api');
    expect(await get('shop.example.com', '/api//x')).toBe('200 api //x /api');
    expect(await get('other.example.com', '/a/b/c/d/e')).toBe('200 deep /e /a/b/c/d');
    expect(await get('other.example.com', '/a/b/c')).toMatch(/^404 /);
  });
});

describe('routes that change', () => {
  it('come, move and go without a reload and without a loss', async () => {
    for (const name of ['one', 'two']) {
      await lab.app(name, (request, response) => void answerKinds(name, request, response));
    }
    const base = [at('one', '*'), at('two', 'two.example.com')] as const;
    await apply(...base);
    const pid = await worker();
    const load = record(lab.port);
    for (let round = 0; round < 15; round += 1) {
      const more = await apply(at('one', 'one.example.com'), at('two', 'two.example.com', '*'));
      expect(more).toMatchObject({ changed: true, reloaded: false });
      expect(await get('any')).toBe('200 two');
      await apply(at('one', '*', '127.0.0.1'), at('two', '*.example.com'));
      expect(await get('any')).toBe('200 one');
      expect(await get('a.example.com')).toBe('200 two');
      // The kinds of the load by path, so that keep-alive connections change sides too.
      await apply(at('one', '*'), at('two', '127.0.0.1/keepalive', '127.0.0.1/post', '*/slow'));
    }
    await apply(...base);
    const records = await load.stop();
    expect(records.filter(({ ok }) => !ok)).toEqual([]);
    expect(new Set(records.map(({ outcome }) => outcome))).toEqual(new Set(['200 one', '200 two']));
    expect(await worker()).toBe(pid);
    expect(await differences({ apps: base })).toEqual([]);
    expect(await readFile(map('hosts'), 'utf8')).toMatch(/^two\.example\.com\/ zdd_two$/m);
    expect(await readFile(map('wildcards'), 'utf8')).toMatch(/^\/ zdd_one$/m);
  });

  it('are carved out of another app only when the new one serves, and given back before it ends', async () => {
    await lab.app('shop', (request, response) => void answerKinds('shop', request, response));
    await apply(at('shop', '*'));
    const load = record(lab.port);
    await lab.app('api', (request, response) => void answerKinds('api', request, response));
    const api = (weight: number, state: 'ready' | 'leaving' = 'ready') =>
      appOf('api', ['*/keepalive', '*/stream'], [lab.server('api', weight, state)]);
    await apply(at('shop', '*'), api(0));
    expect(await get('any', '/keepalive')).toBe('200 shop');
    await apply(at('shop', '*'), api(100));
    expect(await get('any', '/keepalive')).toBe('200 api');
    await apply(at('shop', '*'), api(0, 'leaving'));
    expect(await get('any', '/keepalive')).toBe('200 shop');
    await apply(at('shop', '*'), api(100));
    // The app goes altogether, with a reload.
    expect(await apply(at('shop', '*'))).toMatchObject({ reloaded: true });
    expect(await get('any', '/keepalive')).toBe('200 shop');
    expect((await load.stop()).filter(({ ok }) => !ok)).toEqual([]);
    expect(await differences({ apps: [at('shop', '*')] })).toEqual([]);
  });

  it('stay as they were when the change that brings them fails', async () => {
    await asked('shop');
    await apply(at('shop', '*'));
    const before = [await readFile(map('hosts'), 'utf8'), await readFile(map('wildcards'), 'utf8')];
    const room = lab.again({ confirmMs: 300 });
    const desired = { apps: [at('shop', 'shop.example.com'), at('gone', '*')] };
    await expect(room.apply(desired, soon())).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_SERVER_DOWN',
    });
    expect([
      await readFile(map('hosts'), 'utf8'),
      await readFile(map('wildcards'), 'utf8'),
    ]).toEqual(before);
    expect(await get('any')).toBe('200 shop /');
    expect(await differences({ apps: [at('shop', '*')] })).toEqual([]);
  });
});

describe('routes that somebody else has changed', () => {
  const desired = (): DesiredProxy => ({
    apps: [at('shop', 'shop.example.com', '*'), at('api', 'shop.example.com/api')],
  });
  beforeEach(async () => {
    for (const name of ['shop', 'api']) await asked(name);
    await lab.proxy.apply(desired(), soon());
  });

  it('at runtime are named, and put right without a reload', async () => {
    const pid = await worker();
    await lab.ask(`set map ${map('hosts')} shop.example.com/ zdd_api`);
    await lab.ask(`del map ${map('hosts')} shop.example.com/api/`);
    await lab.ask(`add map ${map('wildcards')} example.com/x/ zdd_nowhere`);
    expect(await differences(desired())).toEqual([
      'route shop.example.com: to api, wanted shop',
      'route shop.example.com/api: missing at runtime',
      'route *.example.com/x: not wanted',
    ]);
    // A backend that does not exist is nobody's.
    expect(await get('a.example.com', '/x')).toMatch(/^404 /);
    expect(await lab.proxy.apply(desired(), soon())).toMatchObject({
      changed: true,
      reloaded: false,
    });
    expect(await differences(desired())).toEqual([]);
    expect(await get('shop.example.com', '/api')).toBe('200 api /api');
    expect(await worker()).toBe(pid);
  });

  it('in a map file are put right, also after a reload with it', async () => {
    const good = await readFile(map('hosts'), 'utf8');
    await writeFile(map('hosts'), '# older\nshop.example.com/api/ zdd_shop\n');
    expect(await differences(desired())).toEqual(['zdd-hosts.map: not what the agent wrote']);
    const pid = await worker();
    await sendReload(lab.master, soon());
    await until('another worker', async () => (await worker()) !== pid);
    expect(await differences(desired())).toEqual([
      'zdd-hosts.map: not what the agent wrote',
      'route shop.example.com/api: to shop, wanted api',
      'route shop.example.com: missing at runtime',
    ]);
    await lab.proxy.apply(desired(), soon());
    expect(await readFile(map('hosts'), 'utf8')).toBe(good);
    expect(await differences(desired())).toEqual([]);
    expect(await get('shop.example.com', '/api')).toBe('200 api /api');
  });

  it('are made anew when a map file is gone', async () => {
    await rm(map('wildcards'));
    expect(await differences(desired())).toEqual(['zdd-wildcards.map: not what the agent wrote']);
    await lab.proxy.apply(desired(), soon());
    expect(await differences(desired())).toEqual([]);
  });
});

describe('an admin who routes by himself', () => {
  it('has no frontend and no maps of ours, and names the backends', async () => {
    const port = await freePort();
    await asked('shop');
    const text = await lab.config();
    const mine = `frontend mine\n  mode http\n  timeout client 5s\n  bind 127.0.0.1:${port}\n  use_backend zdd_shop if { path_beg /shop }\n`;
    const room = lab.again({ bind: () => [] });
    await room.apply(shop(lab.server('shop', 100)), soon());
    const now = await lab.config();
    await writeFile(lab.options.configPath, `${now}\n${mine}`);
    expect(text).toContain('managed region');
    const pid = await worker();
    await sendReload(lab.master, soon());
    await until('another worker', async () => (await worker()) !== pid);
    expect(await rawGet(port, 'any', '/shop/x')).toMatch(/shop \/shop\/x$/);
    expect(await room.inspect(shop(lab.server('shop', 100)), soon())).toEqual([]);
    await expect(readFile(map('hosts'))).rejects.toThrow(/ENOENT/);
  });
});

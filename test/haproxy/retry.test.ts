import { unlink } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Lab, openLab, shop, soon } from './harness.ts';
import { rawExchange } from './raw.ts';

let lab: Lab;

beforeEach(async () => {
  lab = await openLab();
  await lab.proxy.open(soon());
});

afterEach(() => lab.close());

const send = (method: string): Promise<string> =>
  rawExchange(
    lab.port,
    `${method} /order HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello`,
  );

describe('a request that meets a dying server', () => {
  it.each(['POST', 'PATCH', 'LOCK'])(
    'is never sent twice when it is a %s and the server dies after reading it',
    async (method) => {
      const apps = await Promise.all(
        ['r1', 'r2', 'r3'].map((name) =>
          lab.app(name, (request) => request.resume().on('end', () => request.socket.destroy())),
        ),
      );
      await lab.proxy.apply(shop(...apps.map(({ name }) => lab.server(name, 100))), soon());
      for (let n = 1; n <= 6; n += 1) {
        expect(await send(method)).toMatch(/^HTTP\/1\.1 502 /);
        expect(apps.flatMap(({ seen }) => seen).length).toBe(n);
      }
    },
  );

  it('is answered by another server when it is a GET', async () => {
    const dying = await lab.app('r1', (request) => {
      request.resume().on('end', () => request.socket.destroy());
    });
    await lab.app('r2');
    await lab.proxy.apply(shop(lab.server('r1', 100), lab.server('r2', 100)), soon());
    for (let n = 0; n < 6; n += 1) expect(await send('GET')).toMatch(/^HTTP\/1\.1 200 [\s\S]*r2$/);
    expect(dying.seen.length).toBeGreaterThan(0);
    const counters = await lab.proxy.counters('shop', soon());
    expect(counters.servers.get('r1')?.failed).toBe(dying.seen.length);
    expect(counters.responses5xx).toBe(0);
  });

  it('goes to another server, a POST too, when the socket refuses: nobody has read it', async () => {
    const dead = await lab.app('r1');
    const alive = await lab.app('r2');
    await lab.proxy.apply(shop(lab.server('r1', 100), lab.server('r2', 100)), soon());
    await dead.stop();
    for (let n = 0; n < 6; n += 1) expect(await send('POST')).toMatch(/^HTTP\/1\.1 200 [\s\S]*r2$/);
    expect(alive.seen.length).toBe(6);
    expect(dead.seen).toEqual([]);
    const counters = await lab.proxy.counters('shop', soon());
    expect(counters).toMatchObject({ requests: 6, responses5xx: 0 });
    const refused = counters.servers.get('r1');
    expect(refused?.failed).toBeGreaterThan(0);
    expect(refused?.failed).toBe(refused?.requests);
  });

  it('goes to another server when the socket file is gone', async () => {
    const dead = await lab.app('r1');
    await lab.app('r2');
    await lab.proxy.apply(shop(lab.server('r1', 100), lab.server('r2', 100)), soon());
    await unlink(dead.path);
    for (let n = 0; n < 6; n += 1) expect(await send('POST')).toMatch(/^HTTP\/1\.1 200 [\s\S]*r2$/);
  });
});

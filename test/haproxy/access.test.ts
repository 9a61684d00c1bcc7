import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DesiredApp } from '../../agent/haproxy/desired.ts';
import { access, redirect } from '../../agent/protocol/access.ts';
import { appOf, type Lab, openLab, soon } from './harness.ts';
import { answerKinds, record } from './recorder.ts';

/** `openssl passwd -6 -salt abcdefgh secret` */
const HASH =
  '$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.';

let lab: Lab;
beforeEach(async () => {
  lab = await openLab();
  await lab.proxy.open(soon());
});
afterEach(() => lab.close());

interface Wish {
  readonly from?: string;
  readonly method?: string;
  readonly host?: string;
  readonly path?: string;
  readonly headers?: readonly string[];
}

/** Status, `location` or challenge, and body. */
function ask(wish: Wish = {}): Promise<string> {
  const { method = 'GET', path = '/', host = 'shop.example.com', headers = [] } = wish;
  const head = [`${method} ${path} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...headers];
  return new Promise((resolve, reject) => {
    const socket = connect({
      port: lab.port,
      host: '127.0.0.1',
      localAddress: wish.from ?? '127.0.0.1',
    });
    let said = '';
    socket.setTimeout(15_000, () => socket.destroy(new Error(`no end after: ${said}`)));
    socket.on('data', (chunk) => {
      said += chunk.toString('latin1');
    });
    socket.on('error', reject);
    socket.on('close', () => {
      const [top = '', body = ''] = said.split('\r\n\r\n');
      const more = /^(?:location|www-authenticate): (.*)\r?$/im.exec(top)?.[1];
      resolve([top.split(' ')[1], more ?? body.trim()].join(' '));
    });
    socket.write(`${head.join('\r\n')}\r\n\r\n`);
  });
}

function shop(more: {
  access?: Parameters<typeof access.parse>[0];
  redirect?: Parameters<typeof redirect.parse>[0];
  routes?: Parameters<typeof appOf>[1];
}): DesiredApp {
  return {
    ...appOf('shop', more.routes ?? ['*'], [lab.server('shop', 100)]),
    access: access.parse(more.access ?? {}),
    redirect: redirect.parse(more.redirect ?? {}),
  };
}
const apply = (...apps: DesiredApp[]) => lab.proxy.apply({ apps }, soon());
const startShop = () =>
  lab.app('shop', (request, response) => {
    const { authorization = 'no password' } = request.headers;
    request.resume().on('end', () => response.end(`${request.url} ${authorization}`));
  });
const basic = (user: string): string =>
  `Authorization: Basic ${Buffer.from(user).toString('base64')}`;

describe('access to an app', () => {
  it('is for the addresses that are allowed, however many lines they take', async () => {
    await startShop();
    const many = Array.from({ length: 90 }, (_, n) => `10.1.${n}.0/24`);
    await apply(shop({ access: { allow: [...many, '127.0.0.2', '2001:db8::/32'] } }));
    expect(await ask({ from: '127.0.0.2' })).toBe('200 / no password');
    expect(await ask()).toBe('403 This app is not for your address.');
  });

  it('is for the users who know their password, which the app does not see', async () => {
    await startShop();
    const other = appOf('other', ['other.example.com'], [lab.server('shop', 100)]);
    const staging = shop({ access: { basic_auth: [`anna:${HASH}`] } });
    await apply(staging, other);
    expect(await ask()).toBe('401 Basic realm="shop"');
    expect(await ask({ headers: [basic('anna:wrong')] })).toBe('401 Basic realm="shop"');
    expect(await ask({ headers: [basic('bert:secret')] })).toBe('401 Basic realm="shop"');
    expect(await ask({ headers: [basic('anna:secret')] })).toBe('200 / no password');
    // Another app keeps what its clients send.
    expect(await ask({ host: 'other.example.com', headers: [basic('x:y')] })).toMatch(
      /^200 \/ Basic/,
    );
    // The agent's instances are asked past all this.
    expect(await lab.ask('show stat zdd_shop 4 -1')).toMatch(/,L7OK,200,/);
    expect(await lab.proxy.inspect({ apps: [staging, other] }, soon())).toEqual([]);
  });

  it('needs both where both are given', async () => {
    await startShop();
    await apply(shop({ access: { allow: ['127.0.0.2'], basic_auth: [`anna:${HASH}`] } }));
    expect(await ask({ headers: [basic('anna:secret')] })).toMatch(/^403 /);
    expect(await ask({ from: '127.0.0.2' })).toMatch(/^401 /);
    expect(await ask({ from: '127.0.0.2', headers: [basic('anna:secret')] })).toMatch(/^200 /);
  });

  it('changes with a reload that loses nothing', async () => {
    await lab.app('shop', (request, response) => void answerKinds('shop', request, response));
    await apply(shop({}));
    const load = record(lab.port);
    for (const allow of [['127.0.0.0/8'], ['127.0.0.1', '10.0.0.0/8'], []]) {
      expect(await apply(shop({ access: { allow } }))).toMatchObject({ reloaded: true });
    }
    expect((await load.stop()).filter(({ ok }) => !ok)).toEqual([]);
  });
});

describe('a client that asks in another way', () => {
  const https = ['X-Forwarded-Proto: https'];

  it('is sent to https with path and query, by 308 when there may be a body', async () => {
    await startShop();
    await apply(shop({ redirect: { https: true }, access: { basic_auth: [`anna:${HASH}`] } }));
    const to = 'https://shop.example.com/a%20b/?q=1&r=/x';
    expect(await ask({ path: '/a%20b/?q=1&r=/x' })).toBe(`301 ${to}`);
    expect(await ask({ method: 'HEAD', path: '/a%20b/?q=1&r=/x' })).toBe(`301 ${to}`);
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
      expect(await ask({ method, path: '/a%20b/?q=1&r=/x' })).toBe(`308 ${to}`);
    }
    expect(await ask({ host: 'shop.example.com:8080' })).toBe('301 https://shop.example.com/');
    // TLS ended before us. And only now is there a question for a password.
    expect(await ask({ headers: https })).toBe('401 Basic realm="shop"');
  });

  it('is sent to the canonical host, by the scheme and port it came with', async () => {
    await startShop();
    await apply(shop({ redirect: { canonical: 'shop.example.com' } }));
    expect(await ask({ path: '/x' })).toBe('200 /x no password');
    expect(await ask({ host: 'SHOP.example.com.:81', path: '/x' })).toBe('200 /x no password');
    expect(await ask({ host: 'www.example.com', path: '/x?y' })).toBe(
      '301 http://shop.example.com/x?y',
    );
    expect(await ask({ host: 'www.example.com:8080', method: 'POST' })).toBe(
      '308 http://shop.example.com:8080/',
    );
    expect(await ask({ host: 'www.example.com', headers: https })).toBe(
      '301 https://shop.example.com/',
    );
  });

  it('is sent to both at once', async () => {
    await startShop();
    await apply(shop({ redirect: { https: true, canonical: 'shop.example.com' } }));
    for (const wish of [{}, { host: 'x.org' }, { host: 'x.org', headers: https }]) {
      expect(await ask({ ...wish, path: '/p' })).toBe('301 https://shop.example.com/p');
    }
    expect(await ask({ headers: https })).toBe('200 / no password');
  });

  it('is sent to the path it asked for, where the route takes one off', async () => {
    await startShop();
    const routes = [{ route: '*/api', strip: true }];
    await apply(shop({ routes, redirect: { https: true } }));
    expect(await ask({ path: '/api/x?y' })).toBe('301 https://shop.example.com/api/x?y');
    expect(await ask({ path: '/api/x?y', headers: https })).toBe('200 /x?y no password');
  });
});

describe('what is no access rule', () => {
  it('is refused, a password above all', () => {
    const refused = (value: unknown): boolean => !access.safeParse(value).success;
    for (const user of [
      'anna:secret',
      'anna',
      `:${HASH}`,
      `an na:${HASH}`,
      `anna:${HASH}x`,
      `anna:$1$abcdefgh$${'x'.repeat(22)}`,
      `anna:${HASH.replace('$6$', '$6$rounds=900000$')}`,
      `anna:${HASH}\n  user x insecure-password y`,
    ]) {
      expect([user, refused({ basic_auth: [user] })]).toEqual([user, true]);
    }
    expect(refused({ basic_auth: [`anna:${HASH}`, `anna:${HASH}`] })).toBe(true);
    expect(refused({ basic_auth: [`anna:${HASH.replace('$6$', '$6$rounds=5000$')}`] })).toBe(false);
    for (const address of ['10.0.0.0/33', 'example.com', '10.0.0', '', '::1/129', '1.2.3.4 or 1']) {
      expect([address, refused({ allow: [address] })]).toEqual([address, true]);
    }
  });
});

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { renderComplete } from '../../agent/haproxy/config/complete.ts';
import { HOLD_SCRIPT, holdScriptPath } from '../../agent/haproxy/config/hold.ts';
import { MAP_NAMES, mapPath, mapText } from '../../agent/haproxy/config/maps.ts';
import { checkDesired } from '../../agent/haproxy/config/names.ts';
import { chrootOf, writtenServers } from '../../agent/haproxy/config/read.ts';
import { replaceRegion } from '../../agent/haproxy/config/region.ts';
import { renderRegion } from '../../agent/haproxy/config/render.ts';
import type { DesiredApp, DesiredProxy, DesiredServer } from '../../agent/haproxy/desired.ts';
import { access, redirect } from '../../agent/protocol/access.ts';
import { readRoute } from '../../agent/protocol/routes.ts';

const options = {
  bind: ['127.0.0.1:8080', ':::8081 v6only'],
  chroot: undefined,
  mapFolder: '/etc/haproxy/zdd',
};
const routes = (...list: ReadonlyArray<Parameters<typeof readRoute>[0]>) => list.map(readRoute);
const server = (name: string, weight: number): DesiredServer => ({
  name,
  address: { kind: 'unix', path: `/run/zdd/${name}.sock` },
  weight,
  state: 'ready',
});
const shop: DesiredApp = {
  app: 'shop',
  routes: routes('shop.example.com', 'www.example.com', '*.shop.example.com', '*'),
  access: { allow: ['10.0.0.0/8', '2001:db8::1'], basic_auth: ['anna:$6$salt$hash'] },
  redirect: { https: true, canonical: 'shop.example.com' },
  check: { path: "/health?deep=1&who='x'#y", status: 204 },
  servers: [
    server('r41-d56-web-1', 0),
    server('r42-d57-web-1', 100),
    { ...server('r40-d55-web-1', 50), state: 'leaving' },
  ],
};
const blog: DesiredApp = {
  app: 'blog',
  routes: routes('blog.example.com', '*.example.com', {
    route: 'shop.example.com/blog',
    strip: true,
  }),
  check: null,
  shadow: { headers: ['x-tenant'], bodies: ['/search', '/api/find'] },
  servers: [
    {
      name: 'r1-d1-web-1',
      address: { kind: 'tcp', host: '127.0.0.1', port: 9001 },
      weight: 100,
      state: 'ready',
    },
  ],
};
const desired: DesiredProxy = { apps: [shop, blog] };
/** With a rule for everything that an app may ask for. */
const every: DesiredApp = {
  ...shop,
  app: 'every',
  routes: routes('every.example.com'),
  refused: ['/_drain'],
  hold: { on: false, withinMs: 30_000, requests: 2_000 },
  split: {
    preview: { header: { name: 'X-Preview', value: null }, ips: ['10.0.0.1'] },
    share: null,
  },
  hsts: { maxAgeS: 3_600, subdomains: true, preload: false },
  overload: { queueMs: 1_000, page: '<p>Full.</p>' },
  sticky: { lingering: [] },
  shadow: { headers: [], bodies: [] },
};

describe('the rendered region', () => {
  it('is as in the golden file', async () => {
    await expect(renderRegion(desired, options).text).toMatchFileSnapshot('region.golden.cfg');
  });

  it('passes haproxy -c within a complete file, without a warning', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'zdd-render-'));
    try {
      const file = join(folder, 'haproxy.cfg');
      const complete = renderComplete({ adminSocket: join(folder, 'admin.sock') });
      const { text, maps } = renderRegion(
        { apps: [...desired.apps, every] },
        {
          ...options,
          mapFolder: folder,
          accessLog: { port: 18_400, name: 'zdd-1a2b3c4d' },
        },
      );
      await writeFile(file, replaceRegion(complete, text));
      await writeFile(holdScriptPath(folder), HOLD_SCRIPT);
      for (const name of MAP_NAMES) {
        await writeFile(mapPath(folder, name), mapText(name, maps?.[name] ?? new Map()));
      }
      // Only 2.6 says on stdout that it is valid; a file that is not would be thrown for.
      const { stderr } = await promisify(execFile)('haproxy', ['-c', '-f', file]);
      expect(stderr).not.toMatch(/WARNING|ALERT/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('is the same for apps in another order', () => {
    expect(renderRegion({ apps: [blog, shop] }, options)).toEqual(renderRegion(desired, options));
  });

  it('leaves routes to the maps, and keeps its shape when they change', () => {
    const { shape, text } = renderRegion(desired, options);
    const moved = [
      { ...shop, routes: routes('shop.example.com', '*', '*.eu.example.com/api') },
      { ...blog, routes: routes('www.example.com') },
    ];
    const other = renderRegion({ apps: moved }, options);
    expect({ text: other.text, shape: other.shape }).toEqual({ text, shape });
    expect(text).not.toContain('www.example.com');
  });

  it('keeps its shape when servers come, go and change weight', () => {
    const { shape, text } = renderRegion(desired, options);
    const other = renderRegion({ apps: [{ ...shop, servers: [server('r9', 7)] }, blog] }, options);
    expect(other.shape).toBe(shape);
    expect(other.text).not.toBe(text);
    expect(text).toContain(`setenv ZDD_SHAPE "${shape}"`);
  });

  it.each<[string, DesiredProxy, typeof options]>([
    ['an app', { apps: [shop] }, options],
    ['a health path', { apps: [{ ...shop, check: { path: '/', status: 204 } }, blog] }, options],
    ['a status', { apps: [{ ...shop, check: { path: '/', status: 200 } }, blog] }, options],
    ['who may use it', { apps: [{ ...shop, access: access.parse({}) }, blog] }, options],
    ['a redirect', { apps: [{ ...shop, redirect: redirect.parse({}) }, blog] }, options],
    ['a bind', desired, { ...options, bind: ['127.0.0.1:8080'] }],
  ])('changes its shape with %s', (_, changed, changedOptions) => {
    expect(renderRegion(changed, changedOptions).shape).not.toBe(
      renderRegion(desired, options).shape,
    );
  });

  it('has no frontend when it listens nowhere: the admin routes', () => {
    const { text, maps } = renderRegion(desired, { ...options, bind: [] });
    expect(maps).toBeUndefined();
    expect(text).not.toMatch(/^frontend/m);
    expect(text).toMatch(/^backend zdd_shop$/m);
    // It would be inherited by whatever an admin writes below the region.
    expect(text).not.toMatch(/^defaults/m);
  });

  it("tells the agent of requests beside the admin's log, and is another shape for it", () => {
    const { text, shape } = renderRegion(desired, {
      ...options,
      accessLog: { port: 18_400, name: 'zdd-1a2b3c4d' },
    });
    expect(text).toContain('  server agent 127.0.0.1:18400\n');
    expect(text).toContain('  log global\n  option httplog\n');
    expect(text).toContain('  log ring@zdd-log len 300 format rfc5424 local0\n');
    expect(shape).not.toBe(renderRegion(desired, options).shape);
    const routed = renderRegion(desired, {
      ...options,
      bind: [],
      accessLog: { port: 18_400, name: 'zdd-1a2b3c4d' },
    }).text;
    expect(routed).toMatch(/^ring zdd-log$/m);
    expect(routed).not.toContain('log-format-sd');
  });

  it('names sockets inside the chroot from there, and reads them back', () => {
    const path = '/var/lib/haproxy/zdd/r1.sock';
    const inside = { ...server('r1', 1), address: { kind: 'unix' as const, path } };
    const apps = [{ ...shop, servers: [inside, server('r2', 1)] }];
    const { text } = renderRegion({ apps }, { ...options, chroot: '/var/lib/haproxy' });
    expect(writtenServers(text).get('zdd_shop')).toEqual(
      new Map([
        ['r1', 'unix@/zdd/r1.sock'],
        ['r2', 'unix@/run/zdd/r2.sock'],
      ]),
    );
  });

  it('finds the chroot in the global section only', () => {
    const global = 'global\n  daemon\n  chroot /var/lib/haproxy/  # Debian\n';
    expect(chrootOf(`${global}defaults\n  mode http\n`)).toBe('/var/lib/haproxy');
    expect(chrootOf('defaults\n  chroot /x\n')).toBeUndefined();
    expect(chrootOf('global\n  # chroot /x\n')).toBeUndefined();
  });
});

describe('what cannot be rendered', () => {
  const invalid = (apps: readonly DesiredApp[], code = 'ZDD_HAPROXY_CONFIG_INVALID'): void => {
    expect(() => checkDesired({ apps }, undefined)).toThrow(expect.objectContaining({ code }));
  };
  const at = (path: string): DesiredApp[] => [
    { ...shop, servers: [{ ...server('r1', 1), address: { kind: 'unix', path } }] },
  ];

  it('is refused before anything is written', () => {
    invalid([shop, shop]);
    invalid([{ ...shop, app: 'Shop\nfrontend x' }]);
    invalid([{ ...shop, routes: [{ host: 'a b', path: '/', strip: false }] }]);
    invalid([{ ...shop, routes: [{ host: 'a', path: '/x y', strip: false }] }]);
    invalid([{ ...shop, check: { path: '/a\nb', status: 200 } }]);
    invalid([{ ...shop, access: { allow: ['10.0.0.0/8 or x'], basic_auth: [] } }]);
    invalid([{ ...shop, access: { allow: [], basic_auth: ['anna:plain'] } }]);
    invalid([{ ...shop, redirect: { https: false, canonical: 'a b' } }]);
    invalid([{ ...shop, servers: [server('a b', 1)] }]);
    invalid([{ ...shop, servers: [server('a', 1), server('a', 1)] }]);
    invalid([{ ...shop, servers: [server('a', 257)] }]);
    invalid(at('/run/a b.sock'));
    invalid(at(`/${'x'.repeat(97)}`));
    invalid(
      [
        { ...shop, routes: routes('*/api') },
        { ...blog, routes: routes({ route: '*/api/', strip: true }) },
      ],
      'ZDD_ROUTE_CONFLICT',
    );
    expect(() => checkDesired({ apps: at(`/${'x'.repeat(96)}`) }, undefined)).not.toThrow();
  });
});

describe('the maintenance page in the region', () => {
  const withPage = (page: string): string =>
    renderRegion(
      { apps: [{ ...shop, maintenance: { on: true, allow: [], page, retryAfterS: 1 } }] },
      options,
    ).text;

  it('never ends its line, whatever is in it, and never looks like a marker', () => {
    const lines = withPage('x').split('\n').length;
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.string({ unit: 'binary' }),
            fc.constantFrom(
              '\n',
              '\r\n',
              '"',
              "'",
              '\\',
              '$HOME',
              '# >>> zdd-agent: managed region',
            ),
          ),
        ),
        (parts) => {
          const text = withPage(parts.join(''));
          expect(text.split('\n')).toHaveLength(lines);
          expect(replaceRegion(replaceRegion('', text), text)).toBe(replaceRegion('', text));
          // Within its quotes there is no quote that ends them, and no variable.
          const page = / string "(.*)" if /.exec(text)?.[1] ?? '"';
          expect(page.replace(/\\./g, '')).not.toMatch(/["$]/);
        },
      ),
    );
  });

  it('changes the shape with the page, and not with going on and off', () => {
    const shapeOf = (on: boolean, page: string): string =>
      renderRegion(
        { apps: [{ ...shop, maintenance: { on, allow: [], page, retryAfterS: 1 } }] },
        options,
      ).shape;
    expect(shapeOf(true, 'x')).toBe(shapeOf(false, 'x'));
    expect(shapeOf(true, 'x')).not.toBe(shapeOf(true, 'y'));
  });
});

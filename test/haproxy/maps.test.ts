import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  carriedMaps,
  changeText,
  MAP_NAMES,
  mapText,
  type RouteMaps,
  readMapText,
  routeChanges,
  routeMaps,
} from '../../agent/haproxy/config/maps.ts';
import type { DesiredProxy } from '../../agent/haproxy/desired.ts';
import { readRoute, routeText } from '../../agent/protocol/routes.ts';

const app = (name: string, weight: number, ...routes: Parameters<typeof readRoute>[0][]) => ({
  app: name,
  routes: routes.map(readRoute),
  check: null,
  servers: [
    {
      name: 'r1',
      address: { kind: 'unix' as const, path: '/r1.sock' },
      weight,
      state: 'ready' as const,
    },
  ],
});
const maps = (...apps: DesiredProxy['apps']): RouteMaps => routeMaps({ apps });

const key = fc.constantFrom<string>('a.com/', 'a.com/x/', 'b.com/', '/');
const value = fc.constantFrom<string>('zdd_a', 'zdd_b', 'zdd_c/1');
const table = fc
  .uniqueArray(fc.tuple(key, value), { selector: ([of]) => of })
  .map((entries) => new Map(entries));
const tables = fc.record({ hosts: table, wildcards: table, shares: table, stays: table });

describe('the maps', () => {
  it('say which app a route leads to, and what is taken off the path', () => {
    const said = maps(
      app('shop', 1, 'shop.example.com', '*.example.com/x', '*'),
      app('api', 1, { route: 'shop.example.com/api/v1/', strip: true }, '*/y'),
      app('idle', 0, 'idle.example.com'),
    );
    expect(said).toEqual({
      hosts: new Map([
        ['shop.example.com/', 'zdd_shop'],
        ['shop.example.com/api/v1/', 'zdd_api/2'],
      ]),
      wildcards: new Map([
        ['example.com/x/', 'zdd_shop'],
        ['/', 'zdd_shop'],
        ['/y/', 'zdd_api'],
      ]),
      shares: new Map(),
      stays: new Map(),
    });
  });

  it('keep what leads to an app that was stopped, and have nothing of one that never served', () => {
    const idle = app('idle', 0, 'idle.example.com');
    expect(maps(idle).hosts).toEqual(new Map());
    expect(maps({ ...idle, servers: [], keepsRoutes: true }).hosts).toEqual(
      new Map([['idle.example.com/', 'zdd_idle']]),
    );
  });

  it('are written in one way and read back as they were', () => {
    fc.assert(
      fc.property(table, (one) => {
        const text = mapText('hosts', one);
        expect(readMapText(text)).toEqual(one);
        expect(mapText('hosts', new Map([...one].reverse()))).toBe(text);
      }),
    );
  });

  it('come to be by the changes between them, of which none takes a route away that is wanted', () => {
    fc.assert(
      fc.property(tables, tables, (from, to) => {
        const now = {
          hosts: new Map(from.hosts),
          wildcards: new Map(from.wildcards),
          shares: new Map(from.shares),
          stays: new Map(from.stays),
        };
        for (const change of routeChanges(from, to)) {
          expect(now[change.map].get(change.key)).toBe(change.from);
          if (change.to === undefined) now[change.map].delete(change.key);
          else now[change.map].set(change.key, change.to);
          for (const name of MAP_NAMES) {
            for (const kept of from[name].keys()) {
              if (to[name].has(kept)) expect(now[name].has(kept)).toBe(true);
            }
          }
        }
        expect(now).toEqual(to);
      }),
    );
  });

  it('are carried through a reload as they run, but for backends that are gone', () => {
    fc.assert(
      fc.property(tables, tables, (wanted, running) => {
        const desired = { apps: [app('a', 1), app('b', 1)] };
        expect(carriedMaps(wanted, undefined, desired)).toBe(wanted);
        const { hosts } = carriedMaps(wanted, running, desired);
        for (const [of, to] of running.hosts) {
          expect(hosts.get(of)).toBe(to === 'zdd_c/1' ? wanted.hosts.get(of) : to);
        }
        for (const of of hosts.keys()) expect(running.hosts.has(of)).toBe(true);
      }),
    );
  });

  it('differ in words', () => {
    const from = maps(app('shop', 1, '*.example.com/api', '*', 'a.example.com'));
    const to = maps(app('api', 1, '*.example.com/api', '*/x'));
    expect(routeChanges(from, to).map(changeText)).toEqual([
      'route *.example.com/api: to shop, wanted api',
      'route */x: missing at runtime',
      'route a.example.com: not wanted',
      'route *: not wanted',
    ]);
  });
});

it('a route is shown in one way', () => {
  expect(readRoute('a.com/')).toEqual({ host: 'a.com', path: '/', strip: false });
  expect(routeText(readRoute({ route: '*/x/y/', strip: true }))).toBe('*/x/y');
});

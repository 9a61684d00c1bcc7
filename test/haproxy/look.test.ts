import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { planServers, stage } from '../../agent/haproxy/converge.ts';
import type { DesiredApp, DesiredProxy, DesiredServer } from '../../agent/haproxy/desired.ts';
import { backendsFor } from '../../agent/haproxy/look.ts';
import { sendReload } from '../../agent/haproxy/master.ts';
import type { Running, RunningServer } from '../../agent/haproxy/observe.ts';
import { converse } from '../../agent/haproxy/runtime.ts';
import { parseInfo } from '../../agent/haproxy/tables.ts';
import { handsOn } from './hands-on.ts';
import { appOf, type Lab, openLab, soon, until } from './harness.ts';

const APPS = ['blog', 'news', 'shop', 'wiki'] as const;
const weight = fc.constantFrom(0, 1, 100);
const flag = fc.constantFrom(0, 1);
const name = fc.constantFrom('r1', 'r2', 'r3');
const desiredServer: fc.Arbitrary<DesiredServer> = fc
  .record({ name, weight, isLeaving: fc.boolean() })
  .map(({ name: of, weight: to, isLeaving }) => ({
    name: of,
    address: { kind: 'unix', path: `/run/${of}.sock` },
    weight: isLeaving ? 0 : to,
    state: isLeaving ? 'leaving' : 'ready',
  }));
const byName = { selector: (server: { name: string }) => server.name };
const runningServer = (of: string, to: number): RunningServer => ({
  name: of,
  address: 'unix',
  weight: to,
  admin: 'ready',
  down: false,
  checkedOk: true,
  lastCheck: '',
  status: 'UP',
});
const anyApp = (app: string): fc.Arbitrary<DesiredApp> =>
  fc
    .record({
      servers: fc.uniqueArray(desiredServer, byName),
      inMaintenance: fc.boolean(),
      held: fc.boolean(),
    })
    .map(({ servers, inMaintenance, held }) => ({
      ...appOf(app, [`${app}.example.com`], servers),
      maintenance: { on: inMaintenance, allow: [], page: null, retryAfterS: 1 },
      hold: { on: held, withinMs: 1_000, requests: 1 },
    }));
const desired: fc.Arbitrary<DesiredProxy> = fc
  .tuple(...APPS.map(anyApp))
  .map((apps) => ({ apps: [...apps] }));
const backend = fc
  .uniqueArray(
    fc.record({ of: name, to: weight, admin: fc.constantFrom('ready', 'drain', 'maint') }),
    { selector: ({ of }) => of },
  )
  .map((servers) =>
    servers.map(({ of, to, admin }) => ({ ...runningServer(of, to), admin }) as RunningServer),
  );
const running: fc.Arbitrary<Running> = fc
  .tuple(...APPS.map(() => fc.record({ servers: backend, maintenance: flag, hold: flag })))
  .map((found) => ({
    pid: 1,
    version: '2.6.12',
    shape: 'x',
    backends: new Map(
      found.flatMap(({ servers, maintenance, hold }, index) =>
        [
          [`zdd_${APPS[index]}`, servers] as const,
          [`zdd_${APPS[index]}_maintenance`, flagServers(maintenance)] as const,
          [`zdd_${APPS[index]}_hold`, flagServers(hold)] as const,
        ].map(([of, all]) => [of, new Map(all.map((server) => [server.name, server]))] as const),
      ),
    ),
  }));

function flagServers(to: number): readonly RunningServer[] {
  return [runningServer('on', to)];
}

describe('a look for the sake of one app', () => {
  it('leaves out nothing that a look at all would have something done about', () => {
    const none = new Map<string, ReadonlyMap<string, string>>();
    fc.assert(
      fc.property(desired, running, fc.constantFrom(...APPS), (wanted, seen, app) => {
        const near = backendsFor(app, wanted, seen, undefined);
        expect(near.has(`zdd_${app}`)).toBe(true);
        const narrow = { ...seen, near };
        expect(planServers(wanted, narrow, undefined)).toEqual(
          planServers(wanted, seen, undefined),
        );
        expect(stage(wanted, narrow, false, none, undefined)).toEqual(
          stage(wanted, seen, false, none, undefined),
        );
      }),
    );
  });

  it('is at its own backends alone when the others are as they shall be', () => {
    fc.assert(
      fc.property(desired, fc.constantFrom(...APPS), (wanted, app) => {
        const servers = ({ servers: all }: DesiredApp): readonly RunningServer[] =>
          all.map(({ name: of, weight: to, state }) => ({
            ...runningServer(of, state === 'leaving' ? 0 : to),
            admin: state === 'leaving' ? 'maint' : 'ready',
          }));
        const backends = wanted.apps.flatMap((each) => [
          [`zdd_${each.app}`, servers(each)] as const,
          [`zdd_${each.app}_maintenance`, flagServers(Number(each.maintenance?.on))] as const,
          [`zdd_${each.app}_hold`, flagServers(Number(each.hold?.on))] as const,
        ]);
        const seen: Running = {
          pid: 1,
          version: '2.6.12',
          shape: 'x',
          backends: new Map(
            backends.map(([of, all]) => [of, new Map(all.map((each) => [each.name, each]))]),
          ),
        };
        expect([...backendsFor(app, wanted, seen, undefined)]).toEqual([
          `zdd_${app}`,
          `zdd_${app}_maintenance`,
          `zdd_${app}_hold`,
        ]);
      }),
    );
  });
});

describe('an apply for one app among others', () => {
  let lab: Lab;

  beforeEach(async () => {
    lab = await openLab();
    await lab.proxy.open(soon());
    for (const each of ['shop1', 'shop2', 'blog1', 'blog2']) await lab.app(each);
    await lab.proxy.apply(both([100, 0], [100, 0]), soon());
  });

  afterEach(() => lab.close());

  const { differences, get } = handsOn(() => lab);
  const both = (
    ofShop: readonly [number, number],
    ofBlog: readonly [number, number],
  ): DesiredProxy => ({
    apps: [
      appOf('shop', ['*'], [lab.server('shop1', ofShop[0]), lab.server('shop2', ofShop[1])]),
      appOf(
        'blog',
        ['blog.example.com'],
        [lab.server('blog1', ofBlog[0]), lab.server('blog2', ofBlog[1])],
      ),
    ],
  });

  it('moves its traffic, and that of any other that is wanted otherwise', async () => {
    const wanted = both([0, 100], [0, 100]);
    expect(await lab.proxy.apply(wanted, soon(), 'shop')).toMatchObject({ changed: true });
    expect([await get(), await get('blog.example.com')]).toEqual(['200 shop2', '200 blog2']);
    expect(await differences(wanted)).toEqual([]);
  });

  it('repairs its own servers; what was done to others by hand is found by a look at all', async () => {
    await lab.proxy.apply(both([100, 0], [100, 0]), soon(), 'shop');
    await lab.ask('set server zdd_shop/shop1 state drain');
    await lab.ask('set server zdd_blog/blog1 weight 7');
    const wanted = both([0, 100], [100, 0]);
    await lab.proxy.apply(wanted, soon(), 'shop');
    expect(await get()).toBe('200 shop2');
    expect(await differences(wanted)).toEqual(['blog/blog1: weight 7, wanted 100']);
    await lab.proxy.apply(wanted, soon());
    expect(await differences(wanted)).toEqual([]);
  });

  it('believes nothing of another worker than the one it has left', async () => {
    const { pid } = parseInfo(await lab.ask('show info'));
    await sendReload(lab.master, soon());
    // Both take connections for a moment, so who is told is asked first.
    await until('the new worker is told', () =>
      converse(lab.admin, soon(), async ({ ask }) => {
        if (parseInfo(await ask('show info')).pid === pid) return false;
        await ask('set server zdd_blog/blog1 weight 7');
        return true;
      }),
    );
    // Before that it is looked at twice.
    await until('it has checked the servers of the shop', async () =>
      /L7OK.*L7OK/s.test(await lab.ask('show stat zdd_shop 4 -1')),
    );
    const wanted = both([0, 100], [100, 0]);
    await lab.proxy.apply(wanted, soon(), 'shop');
    expect(await differences(wanted)).toEqual([]);
  });

  it('believes nothing of an apply that did not come to its end', async () => {
    const room = lab.again({ confirmMs: 300 });
    await room.apply(both([100, 0], [100, 0]), soon());
    const failing = both([100, 0], [100, 0]);
    const [shop, blog] = failing.apps;
    if (shop === undefined || blog === undefined) throw new Error('no apps');
    const servers = [...shop.servers, lab.server('absent', 0)];
    await expect(
      room.apply({ apps: [{ ...shop, servers }, blog] }, soon(), 'shop'),
    ).rejects.toMatchObject({ code: 'ZDD_HAPROXY_SERVER_DOWN' });
    await lab.ask('set server zdd_blog/blog1 weight 7');
    const wanted = both([0, 100], [100, 0]);
    await room.apply(wanted, soon(), 'shop');
    expect(await differences(wanted)).toEqual([]);
  });
});

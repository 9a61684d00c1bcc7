import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planServers, stage, toConfirm, withoutMisplaced } from '../../agent/haproxy/converge.ts';
import type { DesiredProxy, DesiredServer } from '../../agent/haproxy/desired.ts';
import { effectiveWeight, type Running, type RunningServer } from '../../agent/haproxy/observe.ts';
import { routesOf } from '../../agent/protocol/routes.ts';

const name = fc.constantFrom('r1', 'r2', 'r3', 'r4');
const weight = fc.constantFrom(0, 0, 1, 50, 100);
const desiredServer: fc.Arbitrary<DesiredServer> = fc.record({
  name,
  address: name.map((of) => ({ kind: 'unix' as const, path: `/run/${of}.sock` })),
  weight,
  state: fc.constantFrom('ready' as const, 'ready' as const, 'leaving' as const),
});
const runningServer: fc.Arbitrary<RunningServer> = fc.record({
  name,
  address: fc.constant('unix'),
  weight,
  admin: fc.constantFrom('ready' as const, 'ready' as const, 'drain' as const, 'maint' as const),
  down: fc.boolean(),
  checkedOk: fc.boolean(),
  lastCheck: fc.constant(''),
  status: fc.constant(''),
});
const byName = { selector: (server: { name: string }) => server.name };
const desired: fc.Arbitrary<DesiredProxy> = fc
  .uniqueArray(desiredServer, byName)
  .map((servers) => ({
    apps: [{ app: 'shop', routes: routesOf({ routes: ['*'] }), check: null, servers }],
  }));
const running: fc.Arbitrary<Running> = fc.uniqueArray(runningServer, byName).map((servers) => ({
  pid: 1,
  version: '2.6',
  shape: 'x',
  backends: new Map([['zdd_shop', new Map(servers.map((server) => [server.name, server]))]]),
}));
const written = new Map([
  ['zdd_shop', new Map(['r1', 'r2', 'r3', 'r4'].map((of) => [of, `unix@/run/${of}.sock`]))],
]);
const runningOf = (now: Running, of: string): RunningServer | undefined =>
  now.backends.get('zdd_shop')?.get(of);
const serversOf = (state: DesiredProxy): readonly DesiredServer[] => state.apps[0]?.servers ?? [];

/** What a HAProxy has become that did all of a plan, with every check passed. */
function afterPlan(now: Running, wanted: DesiredProxy): Running {
  const plan = planServers(wanted, now, undefined);
  const servers = new Map(now.backends.get('zdd_shop'));
  const change = (of: string, to: Partial<RunningServer>): void => {
    const server = servers.get(of);
    if (server !== undefined) servers.set(of, { ...server, ...to });
  };
  for (const { server, address } of plan.add) {
    servers.set(server, {
      name: server,
      address: address.startsWith('unix@') ? 'unix' : address,
      weight: 0,
      admin: 'ready',
      down: false,
      checkedOk: true,
      lastCheck: '',
      status: '',
    });
  }
  for (const { server } of plan.revive)
    change(server, { weight: 0, admin: 'ready', checkedOk: true });
  for (const { server, to } of [...plan.raise, ...plan.lower]) change(server, { weight: to });
  for (const { server } of plan.maintain) change(server, { admin: 'maint' });
  for (const { server } of plan.remove) servers.delete(server);
  return { ...now, backends: new Map([['zdd_shop', servers]]) };
}

describe('the stage before a desired state', () => {
  it('gives no weight to a server that HAProxy has not confirmed', () => {
    fc.assert(
      fc.property(desired, running, fc.boolean(), (wanted, now, willReload) => {
        const first = stage(wanted, now, willReload, written, undefined) ?? wanted;
        for (const server of serversOf(first)) {
          const found = runningOf(now, server.name);
          if (server.state === 'leaving' || effectiveWeight(found) > 0) continue;
          if (server.weight > 0) expect(found).toMatchObject({ checkedOk: true, admin: 'ready' });
        }
      }),
    );
  });

  it('keeps every server that carries traffic at its weight', () => {
    fc.assert(
      fc.property(desired, running, fc.boolean(), (wanted, now, willReload) => {
        const first = stage(wanted, now, willReload, written, undefined);
        if (first === undefined) return;
        for (const server of now.backends.get('zdd_shop')?.values() ?? []) {
          if (effectiveWeight(server) === 0) continue;
          const kept = serversOf(first).find((candidate) => candidate.name === server.name);
          expect(kept).toMatchObject({ weight: server.weight, state: 'ready' });
        }
      }),
    );
  });

  it('is asked for whenever a reload would move traffic', () => {
    fc.assert(
      fc.property(desired, running, (wanted, now) => {
        if (stage(wanted, now, true, written, undefined) !== undefined) return;
        for (const server of serversOf(wanted)) {
          const goal = server.state === 'leaving' ? 0 : server.weight;
          expect(goal).toBe(effectiveWeight(runningOf(now, server.name)));
        }
      }),
    );
  });
});

describe('the plan', () => {
  it('comes to rest: stage, then the state itself, then nothing', () => {
    fc.assert(
      fc.property(desired, running, fc.boolean(), (wanted, now, willReload) => {
        const staged = stage(wanted, now, willReload, written, undefined);
        const reached = afterPlan(staged === undefined ? now : afterPlan(now, staged), wanted);
        const rest = planServers(wanted, reached, undefined);
        expect(rest).toEqual({
          add: [],
          revive: [],
          raise: [],
          lower: [],
          maintain: [],
          remove: [],
        });
      }),
    );
  });

  it('touches no server of a backend that is not in the desired state', () => {
    fc.assert(
      fc.property(running, (now) => {
        const plan = planServers({ apps: [] }, now, undefined);
        expect(Object.values(plan).flat()).toEqual([]);
      }),
    );
  });

  it('waits for no server that stands by without traffic and is down', () => {
    const down: RunningServer = {
      name: 'r1',
      address: 'unix',
      weight: 0,
      admin: 'ready',
      down: true,
      checkedOk: false,
      lastCheck: '',
      status: 'DOWN',
    };
    const now: Running = {
      pid: 1,
      version: '2.6',
      shape: 'x',
      backends: new Map([['zdd_shop', new Map([['r1', down]])]]),
    };
    const with_ = (weight_: number): DesiredProxy => ({
      apps: [
        {
          app: 'shop',
          routes: routesOf({ routes: ['*'] }),
          check: null,
          servers: [
            { name: 'r1', address: { kind: 'unix', path: '/r1' }, weight: weight_, state: 'ready' },
          ],
        },
      ],
    });
    expect(toConfirm(with_(0), now)).toEqual([]);
    expect(toConfirm(with_(1), now)).toEqual([{ backend: 'zdd_shop', server: 'r1' }]);
  });

  it('takes out a server whose namesake is desired elsewhere, and only that', () => {
    fc.assert(
      fc.property(desired, running, (wanted, now) => {
        const left = withoutMisplaced(wanted, now, written, undefined) ?? wanted;
        for (const server of serversOf(wanted)) {
          const there = runningOf(now, server.name) !== undefined;
          const path = server.address.kind === 'unix' ? server.address.path : '';
          const misplaced = there && path !== `/run/${server.name}.sock`;
          expect(serversOf(left).includes(server)).toBe(!misplaced);
        }
      }),
    );
  });

  it('takes out none in service when the file says nothing: it was deleted, or is an older one', () => {
    fc.assert(
      fc.property(desired, running, (wanted, now) => {
        const left = withoutMisplaced(wanted, now, new Map(), undefined) ?? wanted;
        for (const server of serversOf(wanted)) {
          const found = runningOf(now, server.name);
          const stays = found === undefined || found.admin === 'ready';
          expect(serversOf(left).includes(server)).toBe(stays);
        }
      }),
    );
  });
});

import { expect, test } from 'vitest';
import type { DesiredApp } from '../../agent/haproxy/proxy.ts';
import { withoutReload } from '../../agent/pipeline/held-shape.ts';

const app = (name: string, changes: Partial<DesiredApp> = {}): DesiredApp => ({
  app: name,
  routes: [],
  check: null,
  servers: [],
  ...changes,
});
const byName = (...apps: readonly DesiredApp[]): ReadonlyMap<string, DesiredApp> =>
  new Map(apps.map((each) => [each.app, each]));
const server = (weight: number) =>
  ({ name: 'r1', address: { kind: 'unix', path: '/r1' }, weight, state: 'ready' }) as const;

test('while nobody waits, everything is as wanted', () => {
  const desired = { apps: [app('shop', { check: { path: '/', status: 200 } })] };
  const frozen = withoutReload(desired, byName(app('shop')), new Set());
  expect(frozen.desired).toBe(desired);
});

test('while some wait for one app, others move weights, and keep what only a reload changes', () => {
  const shop = app('shop', { servers: [server(0)] });
  const before = app('blog', { servers: [server(100)] });
  const after = app('blog', { servers: [server(0)], check: { path: '/', status: 200 } });
  const { desired, behind } = withoutReload(
    { apps: [shop, after, app('new')] },
    byName(shop, before, app('leaves')),
    new Set(['shop']),
  );
  expect([...behind]).toEqual(['blog', 'new']);
  expect(desired.apps).toEqual([shop, { ...after, check: null }, app('leaves')]);
});

test('maintenance goes on and off meanwhile; its page has to wait', () => {
  const maintenance = { on: false, allow: [], page: null, retryAfterS: 300 };
  const before = app('blog', { maintenance });
  const loaded = byName(app('shop'), before);
  const on = (page: string | null) =>
    withoutReload(
      { apps: [app('shop'), app('blog', { maintenance: { ...maintenance, on: true, page } })] },
      loaded,
      new Set(['shop']),
    );
  expect([...on(null).behind]).toEqual([]);
  expect([...on('mine').behind]).toEqual(['blog']);
  expect(on('mine').desired.apps[1]?.maintenance).toEqual({ ...maintenance, on: true });
});

import { expect, test } from 'vitest';
import type { DesiredApp, DesiredProxy } from '../../agent/haproxy/desired.ts';
import { withoutReload } from '../../agent/pipeline/held-shape.ts';

const app = (name: string, changes: Partial<DesiredApp> = {}): DesiredApp => ({
  app: name,
  routes: [],
  check: null,
  servers: [],
  ...changes,
});
const proxy = (...apps: readonly DesiredApp[]): DesiredProxy => ({ apps });
const server = (weight: number) =>
  ({ name: 'r1', address: { kind: 'unix', path: '/r1' }, weight, state: 'ready' }) as const;

test('while nobody waits, everything is as wanted', () => {
  const desired = { apps: [app('shop', { check: { path: '/', status: 200 } })] };
  const frozen = withoutReload(desired, proxy(app('shop')), new Set());
  expect(frozen.desired).toBe(desired);
});

test('while some wait for one app, others move weights, and keep what only a reload changes', () => {
  const shop = app('shop', { servers: [server(0)] });
  const before = app('blog', { servers: [server(100)] });
  const after = app('blog', { servers: [server(0)], check: { path: '/', status: 200 } });
  const { desired, behind } = withoutReload(
    { apps: [shop, after, app('new')] },
    proxy(shop, before, app('leaves')),
    new Set(['shop']),
  );
  expect([...behind]).toEqual(['blog', 'new']);
  expect(desired.apps).toEqual([shop, { ...after, check: null }, app('leaves')]);
});

test('maintenance goes on and off meanwhile; its page has to wait', () => {
  const maintenance = { on: false, allow: [], page: null, retryAfterS: 300 };
  const before = app('blog', { maintenance });
  const loaded = proxy(app('shop'), before);
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

test('certificates stay as they are meant to be; the first one has to wait', () => {
  const desired = {
    apps: [app('shop'), app('new')],
    tls: { certificates: [], challenges: new Map<string, string>() },
  };
  const shut = withoutReload(desired, proxy(app('shop')), new Set(['shop']));
  expect(shut.desired.tls).toBeUndefined();
  const open = withoutReload(desired, { ...desired, apps: [app('shop')] }, new Set(['shop']));
  expect(open.desired.tls).toBe(desired.tls);
});

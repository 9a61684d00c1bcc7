import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { type RenderOptions, renderRegion } from '../../agent/haproxy/config/render.ts';
import type { DesiredApp, DesiredProxy, DesiredServer } from '../../agent/haproxy/desired.ts';
import type { Access } from '../../agent/protocol/access.ts';
import { appOf } from './harness.ts';

const server: fc.Arbitrary<DesiredServer> = fc
  .record(
    {
      name: fc.constantFrom('r1-d1-web-1', 'r1-d1-web-2', 'r2-d2-web-1'),
      path: fc.constantFrom('/jail/a.sock', '/run/b.sock'),
      weight: fc.constantFrom(0, 1, 100),
      state: fc.constantFrom('ready' as const, 'leaving' as const),
      maxconn: fc.constantFrom(1, 20),
      slowStartMs: fc.constantFrom(1_000, 5_000),
    },
    { requiredKeys: ['name', 'path', 'weight', 'state'] },
  )
  .map(({ path, ...rest }) => ({ ...rest, address: { kind: 'unix', path } }));

const app = (name: string): fc.Arbitrary<DesiredApp> =>
  fc
    .tuple(
      fc.uniqueArray(server, { selector: (each) => each.name }),
      fc.record(
        {
          check: fc.constantFrom(null, { path: '/up', status: 200 }, { path: '/up', status: 204 }),
          access: fc.constantFrom<Access>(
            { allow: [], basic_auth: [] },
            { allow: ['10.0.0.1'], basic_auth: [] },
          ),
          refused: fc.constantFrom([], ['/_drain']),
          hold: fc.record({
            on: fc.boolean(),
            withinMs: fc.constantFrom(1_000, 2_000),
            requests: fc.constant(5),
          }),
          hsts: fc.record({
            maxAgeS: fc.constantFrom(60, 3_600),
            subdomains: fc.boolean(),
            preload: fc.constant(false),
          }),
          overload: fc.record({
            queueMs: fc.constantFrom(1_000, 9_000),
            page: fc.constantFrom(null, '<p>Full.</p>'),
          }),
          maintenance: fc.record({
            on: fc.boolean(),
            allow: fc.constantFrom([], ['10.0.0.2']),
            page: fc.constantFrom(null, '<p>Soon.</p>'),
            retryAfterS: fc.constantFrom(5, 10),
          }),
          sticky: fc.constantFrom({ lingering: [] }, { lingering: ['r1-d1-web-1'] }),
          shadow: fc.constantFrom({ headers: [], bodies: [] }, { headers: ['x'], bodies: ['/a'] }),
        },
        { requiredKeys: ['check'] },
      ),
    )
    .map(([servers, rest]) => ({ ...appOf(name, [`${name}.example.com`], servers), ...rest }));

/** Some states of a host, made of few apps: most of what is rendered was so before, somewhere. */
const states: fc.Arbitrary<readonly { desired: DesiredProxy; options: RenderOptions }[]> = fc
  .record({
    blogs: fc.array(app('blog'), { minLength: 2, maxLength: 2 }),
    shops: fc.array(app('shop'), { minLength: 2, maxLength: 2 }),
    picks: fc.array(
      fc.record({
        which: fc.tuple(fc.nat(1), fc.nat(1)),
        chroot: fc.constantFrom(undefined, '/jail'),
        mapFolder: fc.constantFrom('/etc/haproxy', '/srv/haproxy'),
      }),
      { minLength: 3, maxLength: 6 },
    ),
  })
  .map(({ blogs, shops, picks }) =>
    picks.map(({ which: [blog, shop], chroot, mapFolder }) => ({
      desired: { apps: [blogs[blog], shops[shop]].flatMap((each) => each ?? []) },
      options: { bind: ['127.0.0.1:8080'], chroot, mapFolder },
    })),
  );

/** Of a module that has rendered nothing yet. */
async function freshly({ desired, options }: { desired: DesiredProxy; options: RenderOptions }) {
  vi.resetModules();
  const fresh = await import('../../agent/haproxy/config/render.ts');
  return fresh.renderRegion(desired, options);
}

describe('what was rendered before', () => {
  it('never shows in what is rendered now', async () => {
    await fc.assert(
      fc.asyncProperty(states, async (each) => {
        for (const { desired, options } of each) {
          expect(renderRegion(desired, options)).toEqual(await freshly({ desired, options }));
        }
      }),
      { numRuns: 60 },
    );
  });
});

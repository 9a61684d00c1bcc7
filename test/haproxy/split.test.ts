import { expect, test } from 'vitest';
import { renderRegion } from '../../agent/haproxy/config/render.ts';
import type { DesiredApp, DesiredSplit } from '../../agent/haproxy/desired.ts';
import { readRoute } from '../../agent/protocol/routes.ts';

function app(split?: DesiredSplit): DesiredApp {
  const server = (name: string, weight: number) =>
    ({
      name,
      address: { kind: 'unix', path: `/${name}.sock` },
      weight,
      state: 'ready',
    }) as const;
  return {
    app: 'shop',
    routes: [readRoute('*')],
    check: null,
    servers: [server('r1-d1-web-1', 100), server('r2-d2-web-1', 0), server('r2-d2-web-2', 0)],
    ...(split === undefined ? {} : { split }),
  };
}

function render(one: DesiredApp, bind: readonly string[] = ['127.0.0.1:80']) {
  return renderRegion({ apps: [one] }, { bind, chroot: undefined, mapFolder: '/maps' });
}

const share = (ofTenThousand: number): DesiredSplit['share'] => ({
  ofTenThousand,
  servers: { prefix: 'r2-d2-web-', count: 2 },
  turn: 2_398,
});

test('a share is a line of a map, and no change of shape', () => {
  const none = render(app({ preview: null, share: null }));
  const some = render(app({ preview: null, share: share(500) }));
  expect(some.shape).toBe(none.shape);
  expect(some.text).toBe(none.text);
  expect(none.maps?.shares).toEqual(new Map());
  expect(some.maps?.shares).toEqual(new Map([['zdd_shop', '500/2/2398/r2-d2-web-']]));
  expect(render(app()).shape).not.toBe(none.shape);
});

test('who routes by frontends of their own has the map of shares all the same', () => {
  const { maps } = render(app({ preview: null, share: share(500) }), []);
  expect(maps?.shares.size).toBe(1);
  expect(maps?.hosts.size).toBe(0);
  expect(render(app(), []).maps).toBeUndefined();
});

test('a preview is part of the shape, quoted', () => {
  const { text } = render(
    app({
      preview: {
        header: { name: 'X-Preview', value: 'yes' },
        cookie: { name: 'preview', value: null },
        ips: ['10.0.0.0/8'],
      },
      share: null,
    }),
  );
  expect(text).toContain("  acl zdd_chosen req.hdr(X-Preview) -m str 'yes'\n");
  expect(text).toContain('  acl zdd_chosen req.cook(preview) -m found\n');
  expect(text).toContain('  acl zdd_chosen src 10.0.0.0/8\n');
});

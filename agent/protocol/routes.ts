import { z } from 'zod';

/** How many labels a wildcard may have below its `*.`: HAProxy looks them up one by one. */
export const MAX_WILDCARD_LABELS = 6;
/** How many segments of a path can be taken off. */
export const MAX_STRIPPED_SEGMENTS = 4;
const MAX_ROUTE_LENGTH = 500;

const HOST = String.raw`(\*|(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?)`;
/** No `.` and `..`, which clients take out of what they ask for; no `%`, `?` and `#`. */
const PATH = String.raw`(\/(?!\.\.?(\/|$))[A-Za-z0-9._~-]+)*\/?`;

/** A host and the beginning of its paths, as HAProxy is told. */
export interface Route {
  /** `shop.example.com`, `*.example.com`, or `*` for every host. */
  readonly host: string;
  /** `/` for all, or `/api` for `/api` itself and all below it. */
  readonly path: string;
  /** The app sees `/x` where the client has asked for `/api/x`. */
  readonly strip: boolean;
}

const text = z
  .string()
  .max(MAX_ROUTE_LENGTH)
  .regex(
    new RegExp(`^${HOST}${PATH}$`),
    'expected a host such as "shop.example.com", "*.example.com" or "*" for every host, and perhaps a path: "shop.example.com/api"',
  );

/** One route as people write it. */
export const route = z.union([
  text,
  z.strictObject({
    route: text,
    strip: z
      .boolean()
      .default(false)
      .describe('Take the path of the route off before the app sees a request.'),
  }),
]);

/** The `routes` of a `zdd.yaml`. */
export const routes = z
  .array(route)
  .superRefine((list, context) => {
    const seen = new Set<string>();
    for (const [index, written] of list.entries()) {
      const found = readRoute(written);
      const why = faultOf(found, seen);
      if (why !== undefined) context.addIssue({ code: 'custom', path: [index], message: why });
      seen.add(routeText(found));
    }
  })
  .prefault(['*']);

/** A route from how it is written. */
export function readRoute(written: z.output<typeof route>): Route {
  const whole = typeof written === 'string' ? written : written.route;
  const at = whole.indexOf('/');
  const path = at < 0 ? '' : whole.slice(at).replace(/\/$/, '');
  return {
    host: at < 0 ? whole : whole.slice(0, at),
    path: path === '' ? '/' : path,
    strip: typeof written !== 'string' && written.strip,
  };
}

/** The routes of a configuration. */
export function routesOf(config: { readonly routes: z.output<typeof routes> }): readonly Route[] {
  return config.routes.map(readRoute);
}

/** The one way a route is shown and compared: `shop.example.com`, `shop.example.com/api`. */
export function routeText({ host, path }: Route): string {
  return path === '/' ? host : `${host}${path}`;
}

/** Segments of a route's path: 2 for `/api/v2`. */
export function segmentsOf({ path }: Route): number {
  return path.split('/').filter((segment) => segment !== '').length;
}

function faultOf(found: Route, seen: ReadonlySet<string>): string | undefined {
  if (seen.has(routeText(found))) return 'it is listed twice';
  if (/\.\.|\.$/.test(found.host)) return 'a label of the host is empty';
  if (found.host.startsWith('*.') && found.host.split('.').length - 1 > MAX_WILDCARD_LABELS) {
    return `expected at most ${MAX_WILDCARD_LABELS} labels below "*."`;
  }
  if (!found.strip) return undefined;
  const segments = segmentsOf(found);
  if (segments === 0) return 'strip takes a path off, and this route has none';
  return segments > MAX_STRIPPED_SEGMENTS
    ? `strip takes at most ${MAX_STRIPPED_SEGMENTS} segments off`
    : undefined;
}

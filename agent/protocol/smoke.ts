import { z } from 'zod';
import { duration } from './duration-field.ts';
import { readJsonPath } from './json-path.ts';

/** A saved value, `${token}`, or a variable of the app's environment, `${env.NAME}`. */
const PLACEHOLDER = /\$\{([^}]*)\}/g;
const SAVED = /^[A-Za-z_][A-Za-z0-9_]*$/;
const VARIABLE = /^env\.[A-Za-z_][A-Za-z0-9_]*$/;
const BODILESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

const jsonPath = z
  .string()
  .refine(
    (text) => readJsonPath(text) !== null,
    'expected a path into the JSON answer, such as "user.name" or "items[0].id"',
  );

const when = z.enum(['before', 'after', 'both']);

const saved = z.union([
  jsonPath,
  z.strictObject({ header: z.string().min(1).describe('A header of the answer.') }),
  z.strictObject({ cookie: z.string().min(1).describe('A cookie that the answer sets.') }),
]);

const request = z.strictObject({
  name: z.string().min(1).max(60).optional().describe('What the check is called.'),
  path: z.string().startsWith('/'),
  method: z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']).default('GET'),
  headers: z
    .record(
      z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'expected the name of a header'),
      z.string().regex(/^[^\r\n\0]*$/, 'expected a single line'),
    )
    .default({}),
  body: z
    .union([z.string(), z.record(z.string(), z.unknown())])
    .optional()
    .describe('Text as it is, or a map that is sent as JSON.'),
  status: z.int().min(100).max(599).default(200),
  within: duration().default(5_000),
  contains: z.string().optional().describe('Text the answer must have.'),
  json: z
    .record(jsonPath, z.union([z.string(), z.number(), z.boolean(), z.null()]))
    .default({})
    .describe('Values the JSON answer must have, by their paths.'),
  save: z
    .record(z.string().regex(SAVED, 'expected letters, digits and "_", no digit first'), saved)
    .default({})
    .describe(
      'Values of the answer, for later checks: a name to where it stands. They are secrets.',
    ),
  when: when.default('both').describe('Before traffic, after the switch through HAProxy, or both.'),
});

const command = z.strictObject({
  name: z.string().min(1).max(60).optional().describe('What the check is called.'),
  run: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .describe('A command that ends with 0 when all is well; $ZDD_SMOKE_URL is what to ask.'),
  within: duration().default(60_000),
  when: when.default('before'),
});

/** `smoke` of a `zdd.yaml`. */
export const smoke = z
  .array(z.union([request, command]))
  .superRefine((checks, context) => {
    const known = new Set<string>();
    for (const [index, check] of checks.entries()) {
      if ('run' in check) continue;
      const report = (key: string, message: string): void => {
        context.addIssue({ code: 'custom', path: [index, key], message });
      };
      if (check.body !== undefined && BODILESS.has(check.method)) {
        report('body', `a ${check.method} has no body`);
      }
      for (const key of ['path', 'headers', 'body', 'contains', 'json'] as const) {
        const stray = placeholdersOf(check[key]).find(
          (name) => !known.has(name) && !VARIABLE.test(name),
        );
        if (stray !== undefined) report(key, `no check before this one saves ${stray}`);
      }
      for (const name of Object.keys(check.save)) known.add(name);
    }
  })
  .default([])
  .describe('Checks of a new release, before traffic and after.');

/** One smoke check of a checked `zdd.yaml`. */
export type SmokeCheck = z.output<typeof smoke>[number];
/** One that is a command. */
export type SmokeCommand = Extract<SmokeCheck, { readonly run: unknown }>;
/** One that is a request. */
export type SmokeRequest = Exclude<SmokeCheck, SmokeCommand>;

/** Whether a check has its turn then. */
export function isDue(check: SmokeCheck, then: 'before' | 'after'): boolean {
  return check.when === 'both' || check.when === then;
}

/** How a check is called: `login`, `GET /healthz`, `newman run shop.json`. */
export function smokeName(check: SmokeCheck): string {
  if (check.name !== undefined) return check.name;
  if (!('run' in check)) return `${check.method} ${check.path}`;
  return typeof check.run === 'string' ? check.run : check.run.join(' ');
}

/** Puts values into a text. Each name must be known: it was checked when the file was read. */
export function fillIn(text: string, lookUp: (name: string) => string): string {
  return text.replaceAll(PLACEHOLDER, (_whole, name: string) => lookUp(name));
}

function placeholdersOf(value: unknown): string[] {
  if (typeof value === 'string') {
    return [...value.matchAll(PLACEHOLDER)].map(([, name = '']) => name);
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(placeholdersOf);
}

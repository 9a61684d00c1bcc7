import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ZddError } from '../../agent/protocol/errors.ts';
import { routesOf } from '../../agent/protocol/routes.ts';
import { parseAppConfig } from '../../agent/protocol/zdd-yaml.ts';

const MINIMAL = 'app: shop\nprocesses:\n  web:\n    run: node server.js\n';

function refusal(text: string, fileName?: string): ZddError {
  try {
    parseAppConfig(text, fileName);
  } catch (error) {
    if (error instanceof ZddError) return error;
    throw error;
  }
  throw new Error('expected an error, and it was accepted');
}

/** The problems as a reader sees them. */
function problems(text: string): string[] {
  const error = refusal(text);
  expect(error.code).toBe('ZDD_CONFIG_INVALID');
  return error.evidence.map(([place, what]) => `${place} ${what}`);
}

describe('a valid file', () => {
  test('has its defaults filled in', () => {
    const config = parseAppConfig(MINIMAL);
    expect(config).toMatchObject({ app: 'shop', routes: ['*'], keep: 5, bake: 120_000 });
    expect(config.processes['web']).toMatchObject({ instances: 1, overlap: true });
  });

  test('may begin with a byte order mark and end its lines as Windows does', () => {
    expect(parseAppConfig(`\ufeff${MINIMAL.replaceAll('\n', '\r\n')}`).app).toBe('shop');
  });

  test('may use anchors', () => {
    const text = 'app: shop\nprocesses:\n  web: &w { run: x }\n  other: *w\n';
    expect(Object.keys(parseAppConfig(text).processes)).toEqual(['web', 'other']);
  });

  test('is what templates/zdd.yaml is, and what it shows in comments is valid too', () => {
    const text = readFileSync(new URL('../../templates/zdd.yaml', import.meta.url), 'utf8');
    expect(text).toMatch(/^# yaml-language-server: \$schema=\.\/zdd\.schema\.json\n/);
    const { app, processes, ...rest } = parseAppConfig(text);
    expect([app, Object.keys(processes)]).toEqual(['shop', ['web']]);
    const uncommented = text
      .split('\n')
      // Sentences stay comments, and so does the short form of health, whose long form follows.
      .filter((line) => !/health: \//.test(line))
      .map((line) => line.replace(/^( *)# (?=( *)([a-z_]+:|- ))/, '$1'))
      .join('\n');
    const shown = parseAppConfig(uncommented);
    expect(Object.keys(shown.processes)).toEqual(['web', 'worker']);
    // What is shown as a default is the default.
    for (const key of ['routes', 'bake', 'gates', 'warm', 'drain', 'keep'] as const) {
      expect(shown[key]).toEqual(rest[key]);
    }
    const worker = shown.processes['worker'];
    expect(
      parseAppConfig(`${MINIMAL}  worker: { run: ${String(worker?.run)} }\n`).processes,
    ).toEqual({
      web: expect.anything(),
      worker,
    });
  });
});

describe('routes', () => {
  const withRoutes = (list: string) => `${MINIMAL}routes: ${list}\n`;

  test('are hosts and paths, in a short and a long form', () => {
    const list = '[shop.example.com, "*.example.com/api/", "*", { route: "*/v1", strip: true }]';
    expect(routesOf(parseAppConfig(withRoutes(list)))).toEqual([
      { host: 'shop.example.com', path: '/', strip: false },
      { host: '*.example.com', path: '/api', strip: false },
      { host: '*', path: '/', strip: false },
      { host: '*', path: '/v1', strip: true },
    ]);
  });

  test.each([
    ['[a.com, a.com/]', 'routes[1]: it is listed twice'],
    ['[a.com/x, { route: a.com/x/, strip: true }]', 'routes[1]: it is listed twice'],
    ['[a..com]', 'routes[0]: a label of the host is empty'],
    ['["*.a.b.c.d.e.f.g"]', 'routes[0]: expected at most 6 labels below "*."'],
    [
      '[{ route: a.com, strip: true }]',
      'routes[0]: strip takes a path off, and this route has none',
    ],
    ['[{ route: a.com/1/2/3/4/5, strip: true }]', 'routes[0]: strip takes at most 4 segments off'],
    ['[{ path: /x }]', 'unknown key "path" under routes[0]'],
    ['[a.com/x/../y]', 'routes[0]: expected a host'],
    ['[a.com/%61]', 'routes[0]: expected a host'],
    ['["a.com/x?y=1"]', 'routes[0]: expected a host'],
  ])('%s are refused', (list, why) => {
    expect(problems(withRoutes(list)).join('\n')).toContain(why);
  });
});

describe('access and redirect', () => {
  test('a password where its hash belongs is refused and not shown', () => {
    const [why] = problems(`${MINIMAL}access: { basic_auth: ["anna:secret"] }\n`);
    expect(why).toMatch(/access\.basic_auth\[0\]: expected "name:hash".*, got text$/);
  });

  test('the canonical host is one of the app', () => {
    const redirectTo = (host: string, routes: string) =>
      `${MINIMAL}routes: ${routes}\nredirect: { canonical: ${host} }\n`;
    expect(parseAppConfig(redirectTo('a.b.com', '["*.b.com"]')).redirect.canonical).toBe('a.b.com');
    expect(problems(redirectTo('b.com', '["*.b.com", a.com]'))).toEqual([
      'zdd.yaml:6:13 redirect.canonical: no route of this app is for b.com',
    ]);
  });
});

describe('every problem is told at once', () => {
  test('with its place and what was expected', () => {
    const text = `app: Shop
rotues: []
processes:
  web:
    run: 5
    instances: two
    heatlh: 1
    health: { path: x, timeout: 3, jsn: {} }
    listen: sock
  Worker: { run: x }
  w2: { run: [a, 3], health: 4, overlap: no }
  w3: { run: '', health: healthz, alive: soon, instances: 99 }
release: { rum: x }
drain: { pace: "50", requests: 10 }
keep: 0
routes: [a b, 3]
smoke: [{ }, { path: x, status: 20 }]
gates: { error_rate: 2, min_requests: 1.5 }
shared: [../x, ok]
bake:
`;
    expect(problems(text)).toEqual([
      'zdd.yaml:1:1 app: expected lower-case letters, digits and "-", at most 31, got "Shop"',
      'zdd.yaml:2:1 unknown key "rotues": did you mean "routes"?',
      'zdd.yaml:5:5 processes.web.run: expected text or a list, got 5',
      'zdd.yaml:6:5 processes.web.instances: expected a whole number ≥ 1, got "two"',
      'zdd.yaml:7:5 unknown key "heatlh" under processes.web: did you mean "health"?',
      'zdd.yaml:8:15 processes.web.health.path: expected a path that begins with "/", got "x"',
      'zdd.yaml:8:24 processes.web.health.timeout: expected a duration such as "30s", "10m" or "1h30m", got 3',
      'zdd.yaml:8:36 unknown key "jsn" under processes.web.health: did you mean "json"?',
      'zdd.yaml:9:5 processes.web.listen: expected "socket", "port", "fd" or "none", got "sock"',
      'zdd.yaml:10:3 processes.Worker: as its name expected lower-case letters, digits and "-", at most 31',
      'zdd.yaml:11:18 processes.w2.run[1]: expected text, got 3: put it in quotes',
      'zdd.yaml:11:22 processes.w2.health: expected text or a map, got 4',
      'zdd.yaml:11:33 processes.w2.overlap: expected true or false, got "no"',
      'zdd.yaml:12:9 processes.w3.run: expected text, not "", got ""',
      'zdd.yaml:12:18 processes.w3.health: expected a path that begins with "/", got "healthz"',
      'zdd.yaml:12:35 processes.w3.alive: expected a duration such as "30s", "10m" or "1h30m", got "soon"',
      'zdd.yaml:12:48 processes.w3.instances: expected at most 64, got 99',
      'zdd.yaml:13:1 release.run: missing: expected text or a list',
      'zdd.yaml:13:12 unknown key "rum" under release: did you mean "run"?',
      'zdd.yaml:14:10 drain.pace: expected a pace such as "50/s", got "50"',
      'zdd.yaml:14:22 drain.requests: expected a duration such as "30s", "10m" or "1h30m", got 10',
      'zdd.yaml:15:1 keep: expected at least 1, got 0',
      'zdd.yaml:16:10 routes[0]: expected a host such as "shop.example.com", "*.example.com" or "*" for every host, and perhaps a path: "shop.example.com/api", got "a b"',
      'zdd.yaml:16:15 routes[1]: expected text or a map, got 3',
      'zdd.yaml:17:9 smoke[0].path: missing: expected text',
      'zdd.yaml:17:16 smoke[1].path: expected a path that begins with "/", got "x"',
      'zdd.yaml:17:25 smoke[1].status: expected at least 100, got 20',
      'zdd.yaml:18:10 gates.error_rate: expected at most 1, got 2',
      'zdd.yaml:18:25 gates.min_requests: expected a whole number, got 1.5',
      'zdd.yaml:19:10 shared[0]: expected a path inside the release, got "../x"',
      'zdd.yaml:20:1 bake: expected a duration such as "30s", "10m" or "1h30m", got nothing',
    ]);
  });

  test('rules that span keys among them', () => {
    const text = `${MINIMAL}    listen: none
  worker: { run: x, instances: 0 }
hold: { within: 30s }
smoke: [{ path: / }]
foo: 1
`;
    expect(problems(text)).toEqual([
      'zdd.yaml:5:5 processes.web.listen: web takes traffic, so it must listen: use socket, port or fd',
      'zdd.yaml:6:21 processes.worker.instances: expected a whole number ≥ 1, got 0',
      'zdd.yaml:7:1 hold: nothing waits for an app that may run twice: web needs overlap: false for it',
      'zdd.yaml:9:1 unknown key "foo"',
    ]);
    expect(problems('app: x\nprocesses: { w: { run: x } }\nsmoke: [{ path: / }]\nfoo: 1')).toEqual([
      'zdd.yaml:3:1 smoke: smoke checks need a web process to ask',
      'zdd.yaml:4:1 unknown key "foo"',
    ]);
  });

  test('keys given twice among them', () => {
    expect(problems('app: x\napp: y\nprocesses: {}\n')).toEqual([
      'zdd.yaml:2:1 this key is there twice',
      'zdd.yaml:3:1 processes: expected at least one process, such as web',
    ]);
    expect(problems(`${MINIMAL}    run: other\n`)).toEqual([
      'zdd.yaml:5:5 this key is there twice',
    ]);
  });

  test('where they stand, also when an alias repeats them', () => {
    expect(problems('app: x\nprocesses:\n  web: &w { run: a, keep: 1 }\n  b: *w\n')).toEqual([
      'zdd.yaml:3:21 unknown key "keep" under processes.web',
      'zdd.yaml:3:21 unknown key "keep" under processes.b',
    ]);
  });

  test('counted in the message, under the name of the file', () => {
    const error = refusal('app: 1', 'shop-1/zdd.yaml');
    expect(error.message).toBe('shop-1/zdd.yaml has 2 problems');
    expect(error.evidence[0]?.[0]).toBe('shop-1/zdd.yaml:1:1');
    expect(refusal('processes: { web: { run: x } }').message).toBe('zdd.yaml has 1 problem');
    const many = refusal(
      `${MINIMAL}${Array.from({ length: 80 }, (_, i) => `k${i}: 1\n`).join('')}`,
    );
    expect(many.evidence.at(-1)).toEqual(['', 'and 30 more']);
  });
});

describe('secrets', () => {
  test('in env are never shown', () => {
    const text = `${MINIMAL}    env: { A: 123456, B: true, 1X: hunter2, C: [s3cret] }\nenv: { D: 99999 }\n`;
    const told = problems(text);
    expect(told).toEqual([
      'zdd.yaml:5:12 processes.web.env.A: expected text, got a number: put it in quotes',
      'zdd.yaml:5:23 processes.web.env.B: expected text, got a boolean: put it in quotes',
      'zdd.yaml:5:32 processes.web.env.1X: as its name expected letters, digits and "_", no digit first',
      'zdd.yaml:5:45 processes.web.env.C: expected text, got a list',
      'zdd.yaml:6:8 env.D: expected text, got a number: put it in quotes',
    ]);
  });
});

describe('what is no configuration', () => {
  const cases: ReadonlyArray<readonly [string, string, readonly string[]]> = [
    ['nothing', '', ['zdd.yaml:1:1 the file is empty: it needs at least app and processes']],
    [
      'comments only',
      '# a\n# b\n',
      ['zdd.yaml:1:1 the file is empty: it needs at least app and processes'],
    ],
    ['text', 'hello', ['zdd.yaml:1:1 expected a map, got "hello"']],
    ['a list', '- a', ['zdd.yaml:1:1 expected a map, got a list']],
    ['a tab', 'app: x\n\tfoo: 1', ['zdd.yaml:2:1 a tab: YAML is indented with spaces']],
    [
      'two documents',
      'a: 1\n---\nb: 1',
      ['zdd.yaml:2:1 a second document begins here: one is expected'],
    ],
    [
      'a quote that never ends',
      'app: x\nprocesses: {web: {run: "unclosed}}',
      ['zdd.yaml:2:35 not valid YAML: Missing closing "quote'],
    ],
    ['an unknown tag', 'app: !foo x', ['zdd.yaml:1:6 not valid YAML: Unresolved tag: !foo']],
    ['__proto__', `__proto__: { a: 1 }\n${MINIMAL}`, ['zdd.yaml:1:1 unknown key "__proto__"']],
    [
      'a process that is only its command',
      'app: x\nprocesses:\n  web: node server.js\n  worker:\n',
      [
        'zdd.yaml:3:3 processes.web: expected a map, got "node server.js"',
        'zdd.yaml:4:3 processes.worker: expected a map, got nothing',
      ],
    ],
    [
      'keys of several values',
      `${MINIMAL}? [a, b]\n: 1\n`,
      ['zdd.yaml:1:1 unknown key "[ a, b ]"'],
    ],
  ];
  for (const [what, text, expected] of cases) {
    test(what, () => {
      expect(problems(text)).toEqual(expected);
    });
  }

  test('an alias without its anchor', () => {
    expect(problems('app: *nope')[0]).toContain('Unresolved alias');
  });
});

describe('hostile files', () => {
  test('aliases that would fill the memory', () => {
    const levels = Array.from({ length: 20 }, (_, level) => {
      const item = level === 0 ? 'x' : `*l${level - 1}`;
      return `l${level}: &l${level} [${Array(10).fill(item).join(', ')}]\n`;
    });
    expect(problems(levels.join(''))).toEqual(['zdd.yaml:1:1 it repeats too much through aliases']);
  });

  test('maps and lists without a bottom', () => {
    for (const text of ['['.repeat(60_000), '{a: '.repeat(15_000), '- '.repeat(30_000)]) {
      expect(problems(text).some((line) => line.includes('nested too deeply'))).toBe(true);
    }
  });

  test('a file of megabytes', () => {
    expect(problems('#'.repeat(300_000))).toEqual([
      'zdd.yaml:1:1 the file is longer than 65536 characters',
    ]);
  });

  test('any text is accepted or refused as a configuration, never anything else', () => {
    const words = fc.constantFrom(
      ...['app', 'web', 'run', 'health', ': ', '- ', '\n', '  ', '{', '}', '[', ']', '"', "'"],
      ...[
        '&a ',
        '*a',
        '|',
        '>',
        '#',
        '\t',
        '!!',
        '? ',
        '~',
        '1',
        'true',
        '<<',
        '__proto__',
        '\0',
        ',',
      ],
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 40 }), (parts) => {
        const error = refusal(parts.join(''));
        expect(error.code).toBe('ZDD_CONFIG_INVALID');
        expect(error.evidence.length).toBeGreaterThan(0);
        for (const [place] of error.evidence) expect(place).toMatch(/^zdd\.yaml:\d+:\d+$/);
      }),
      { numRuns: 500 },
    );
  });
});

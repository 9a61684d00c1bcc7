import { expect, test } from 'vitest';
import { ZddError } from '../../agent/protocol/errors.ts';
import { parseAppConfig } from '../../agent/protocol/zdd-yaml.ts';

const base = 'app: shop\nprocesses:\n  web: { run: node server.js }\n';

function problems(text: string): string[] {
  try {
    parseAppConfig(base + text, 'zdd.yaml');
    return [];
  } catch (error) {
    if (!(error instanceof ZddError)) throw error;
    return error.evidence.map(([, what]) => what);
  }
}

const moves = (text: string) => parseAppConfig(base + text, 'zdd.yaml').strategy;
/** Of an app with `count` web instances. */
const movesOf = (count: number, text: string) =>
  parseAppConfig(base.replace('server.js', `server.js, instances: ${count}`) + text, 'zdd.yaml')
    .strategy;

test('all at once unless told otherwise; one word is enough', () => {
  expect(moves('')).toEqual({ type: 'blue-green' });
  expect(moves('strategy: canary')).toMatchObject({
    type: 'canary',
    steps: [{ do: 'weight', percent: 5 }, { do: 'hold', ms: 120_000 }, {}, {}, {}, {}],
  });
  expect(moves('strategy: { type: canary }')).toEqual(moves('strategy: canary'));
});

test('a list is a canary of these steps', () => {
  const steps = moves(`strategy:
  - weight: 2.5%
  - hold: 2m
  - analyse
  - analyse: { within: 1h }
  - smoke
  - gate: manual
  - gate: { webhook: "https://ci.example.com/go" }
  - ramp: 5%..100% over 10m
`);
  expect(steps).toEqual({
    type: 'canary',
    steps: [
      { do: 'weight', percent: 2.5 },
      { do: 'hold', ms: 120_000 },
      { do: 'analyse', within: 600_000 },
      { do: 'analyse', within: 3_600_000 },
      { do: 'smoke' },
      { do: 'approval' },
      { do: 'webhook', url: 'https://ci.example.com/go', within: 3_600_000 },
      { do: 'ramp', from: 5, to: 100, ms: 600_000 },
    ],
  });
});

test('shadow is a step before anybody is moved; what it does not say the key shadow does', () => {
  const written = `shadow: { share: 10%, for: 20s }
strategy:
  - smoke
  - shadow: { share: 1% }
  - weight: 0%
  - shadow
  - shadow: { share: 50%, for: 5m }
  - weight: 5%
`;
  const steps = [
    { do: 'smoke' },
    { do: 'shadow', share: 0.01 },
    { do: 'weight', percent: 0 },
    { do: 'shadow' },
    { do: 'shadow', share: 0.5, for: 300_000 },
    { do: 'weight', percent: 5 },
  ];
  expect(moves(written)).toEqual({ type: 'canary', steps });
});

test('rolling goes instance by instance, in numbers or shares', () => {
  const usual = {
    type: 'rolling',
    surge: { count: 1 },
    unavailable: { count: 0 },
    hold: 10_000,
  };
  expect(moves('strategy: rolling')).toEqual(usual);
  expect(moves('strategy: { type: rolling }')).toEqual(usual);
  expect(moves('strategy: { rolling: {} }')).toEqual(usual);
  expect(
    movesOf(4, 'strategy: { rolling: { max_surge: 0, max_unavailable: 50%, hold: 1m } }'),
  ).toEqual({
    type: 'rolling',
    surge: { count: 0 },
    unavailable: { percent: 50 },
    hold: 60_000,
  });
});

test('a tier says how careful to be, what is written wins', () => {
  const critical = parseAppConfig(`${base}tier: critical`, 'zdd.yaml');
  expect(critical).toMatchObject({ strategy: { type: 'canary' }, bake: 600_000, warm: 600_000 });
  const internal = parseAppConfig(`${base}tier: internal`, 'zdd.yaml');
  expect(internal).toMatchObject({ strategy: { type: 'blue-green' }, bake: 10_000, warm: 0 });
  const warm = parseAppConfig(`${base}tier: internal\nwarm: 5m`, 'zdd.yaml');
  expect(warm).toMatchObject({ bake: 10_000, warm: 300_000 });
  const mixed = parseAppConfig(`${base}tier: critical\nstrategy: blue-green\nbake: 5s`, 'zdd.yaml');
  expect(mixed).toMatchObject({ strategy: { type: 'blue-green' }, bake: 5_000 });
});

test.each([
  ['strategy: [shadow]', /the step shadow needs the key shadow/],
  ['strategy: [{ shadow: { share: 0% } }]\nshadow: { share: 10% }', /expected more than 0%/],
  [
    'strategy: [{ weight: 5% }, shadow]\nshadow: { share: 10% }',
    /strategy\[1\]: shadow comes before the first weight or ramp/,
  ],
  ['strategy: [wait]', /expected weight, hold, analyse, smoke, shadow, gate or ramp/],
  ['strategy: [{ weight: 120% }]', /expected at most 100%/],
  ['strategy: [{ weight: 5 }]', /expected text/],
  ['strategy: [{ wieght: 5% }]', /did you mean "weight"/],
  [
    'strategy: [{ weight: 5%, hold: 2m }]',
    /expected one of weight, hold, analyse, shadow, gate or ramp/,
  ],
  ['strategy: [{ ramp: 5% to 50% }]', /expected a ramp such as/],
  ['strategy: [{ gate: { webhook: ftp://x } }]', /expected a URL/],
  ['strategy: []', /at least one step/],
  ['preview: {}', /expected header, cookie or ips/],
  [`preview: { header: "X-P: a'b" }`, /expected the name of a header/],
  ['preview: { ips: [here] }', /expected an address or network/],
  ['strategy: sideways', /expected blue-green, rolling, canary or a list of steps/],
  ['strategy: { rolling: { max_surge: 0 } }', /leave no room to replace the only web instance/],
  ['strategy: { rolling: { max_surge: 0, max_unavailable: 1 } }', /set max_surge: 1/],
  ['strategy: { rolling: { max_surge: 10 % } }', /expected a whole number, or a share/],
  ['strategy: { rolling: { max_surge: -1 } }', /expected a whole number, or a share/],
  ['strategy: { rolling: { max_serge: 1 } }', /did you mean "max_surge"/],
  ['strategy: { rolling: { hold: soon } }', /expected a duration/],
  ['strategy: rolling\nshadow: { share: 10%, for: 30s }', /use blue-green or canary/],
])('%s is refused in words', (text, words) => {
  expect(problems(text).join('\n')).toMatch(words);
});

test('who may not run twice has no canary', () => {
  const text = 'app: shop\nprocesses:\n  web: { run: x, overlap: false }\nstrategy: canary\n';
  expect(() => parseAppConfig(text, 'zdd.yaml')).toThrow(/1 problem/);
});

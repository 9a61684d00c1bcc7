import { expect, test } from 'vitest';
import { ZddError } from '../../agent/protocol/errors.ts';
import { parseAppConfig } from '../../agent/protocol/zdd-yaml.ts';

const PROMETHEUS = 'prometheus: "http://127.0.0.1:9090"';
const SELECTED = 'query: \'sum(failed{release="$ZDD_RELEASE"})\'';

function metric(...keys: readonly string[]) {
  const text = `app: shop
processes: { web: { run: node server.js } }
triggers:
  metrics:
    - { name: failed, ${keys.join(', ')} }
`;
  return parseAppConfig(text, 'zdd.yaml').triggers.metrics[0];
}

function problems(...keys: readonly string[]): string {
  try {
    metric(...keys);
  } catch (error) {
    if (error instanceof ZddError) return error.evidence.map((line) => line.join(' ')).join('\n');
    throw error;
  }
  return '';
}

test('a metric relative to stable, with its counts or without', () => {
  expect(metric(PROMETHEUS, SELECTED, 'relative_to: stable', 'max_ratio: 1.2')).toMatchObject({
    max_ratio: 1.2,
    at_least: 0,
    looks: 2,
  });
  const json = 'json: "http://127.0.0.1/stats"';
  const path = (key: string) => `'["$ZDD_RELEASE"].${key}'`;
  expect(
    metric(
      ...[json, `path: ${path('bad')}`, `of: ${path('all')}`],
      ...['relative_to: stable', 'min_ratio: 0.9'],
    ),
  ).toMatchObject({ of: '["$ZDD_RELEASE"].all' });
  // A command is told the release by its environment.
  expect(metric('run: ./lag', 'relative_to: stable', 'max_ratio: 1')).toMatchObject({
    run: './lag',
  });
});

test.each([
  [[PROMETHEUS, SELECTED], 'it needs max, min, last_week or relative_to'],
  [[PROMETHEUS, SELECTED, 'relative_to: stable'], 'relative_to needs max_ratio or min_ratio'],
  [[PROMETHEUS, SELECTED, 'max: 3', 'max_ratio: 2'], 'max_ratio goes with relative_to: stable'],
  [[PROMETHEUS, SELECTED, 'max: 3', 'at_least: 2'], 'at_least goes with relative_to: stable'],
  [
    [PROMETHEUS, 'query: up', 'relative_to: stable', 'max_ratio: 2'],
    'write $ZDD_RELEASE where the id of one belongs, such as {release="$ZDD_RELEASE"}',
  ],
  [
    [PROMETHEUS, SELECTED, 'of: up', 'relative_to: stable', 'max_ratio: 2'],
    'triggers.metrics[0].of: relative_to asks it of two releases',
  ],
  [
    ['json: "http://127.0.0.1/x"', 'path: n', 'relative_to: stable', 'max_ratio: 2'],
    'triggers.metrics[0].path: relative_to asks it of two releases',
  ],
  [
    ['run: ./lag', 'of: ./all', 'relative_to: stable', 'max_ratio: 2', 'at_least: 3'],
    'at_least is for plain values: with of, the counts decide',
  ],
  [[PROMETHEUS, SELECTED, 'relative_to: last', 'max_ratio: 2'], 'expected "stable", got "last"'],
  [[PROMETHEUS, SELECTED, 'relative_to: stable', 'max_ratio: 0.5'], 'expected at least 1, got 0.5'],
])('%j: %s', (keys, text) => {
  expect(problems(...keys)).toContain(text);
});

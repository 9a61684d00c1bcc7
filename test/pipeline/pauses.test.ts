import { expect, test } from 'vitest';
import { holdsBake } from '../../agent/pipeline/notifications/pauses.ts';
import type { VerdictReport } from '../../agent/protocol/verdict.ts';

function verdict(given: Partial<VerdictReport>): VerdictReport {
  return {
    gate: 'error-rate',
    outcome: 'pass',
    action: 'proceed',
    metric: 'error rate',
    value: 0,
    unit: 'share',
    threshold: 0.01,
    n: 100,
    interval: null,
    window: { from: 0, to: 1 },
    oneOf: 1,
    because: '',
    says: '',
    ...given,
  };
}

const HELD = verdict({ outcome: 'inconclusive', action: 'pause', held: true });
const METRIC = verdict({ gate: 'metric', outcome: 'fail', action: 'pause' });

test.each([
  ['stable has the same trouble', [verdict({}), HELD], HELD],
  ['what fails shall only pause', [verdict({}), METRIC], METRIC],
  ['all is well', [verdict({})], undefined],
  // A quiet app has this at the end of each bake: nobody is called for it.
  ['too few requests', [verdict({ outcome: 'inconclusive', action: 'pause' })], undefined],
  ['it went back by itself', [verdict({ outcome: 'fail', action: 'rollback' })], undefined],
  [
    'slower than before: the bake is over then',
    [verdict({ gate: 'relative-latency', outcome: 'fail', action: 'pause' })],
    undefined,
  ],
])('in a bake a person is called for: %s', (_what, verdicts, called) => {
  expect(holdsBake(verdicts)).toBe(called);
});

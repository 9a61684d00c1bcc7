import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { calendarsOf, lastDue, nextRun } from '../../agent/protocol/cron.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import { parseAppConfig } from '../../agent/protocol/zdd-yaml.ts';

const utc = (schedule: string) => ({ schedule, zone: 'UTC' });
const at = (text: string): number => Date.parse(text);

test.each([
  ['0 3 * * *', '2026-03-01T03:00Z', '2026-03-02T03:00Z'],
  ['*/15 * * * *', '2026-03-01T03:01Z', '2026-03-01T03:15Z'],
  ['0 0 1,15 * mon', '2026-03-01T12:00Z', '2026-03-02T00:00Z'],
  ['30 22 * * 5-7', '2026-03-02T00:00Z', '2026-03-06T22:30Z'],
  ['@monthly', '2026-03-01T00:00Z', '2026-04-01T00:00Z'],
  ['0 3 1,31 * *', '2027-02-02T00:00Z', '2027-03-01T03:00Z'],
])('%s after %s is %s', (schedule, after, next) => {
  expect(nextRun(utc(schedule), at(after))).toBe(at(next));
});

test('a time zone has its own nights', () => {
  const when = { schedule: '0 3 * * *', zone: 'Europe/Berlin' };
  expect(nextRun(when, at('2026-03-01T00:00Z'))).toBe(at('2026-03-01T02:00Z'));
  expect(nextRun(when, at('2026-07-01T00:00Z'))).toBe(at('2026-07-01T01:00Z'));
});

test('the last time that was due, and how many there were', () => {
  const from = at('2026-03-01T00:00Z');
  expect(lastDue(utc('0 3 * * *'), from, at('2026-03-04T12:00Z'))).toEqual({
    at: at('2026-03-04T03:00Z'),
    count: 4,
  });
  expect(lastDue(utc('0 3 * * *'), from, at('2026-03-01T02:59Z'))).toBeNull();
  expect(lastDue(utc('* * * * *'), from, at('2027-03-01T00:00Z'))).toEqual({
    at: at('2027-03-01T00:00Z'),
    count: 1_000,
  });
});

test.each([
  '* * * *',
  '60 * * * *',
  '* * 0 * *',
  '1-x * * * *',
  '5/2 * * * *',
  '0 0 31 2 *',
  'L * * * *',
  '@reboot',
  '* * * * * *',
])('%s is no schedule', (schedule) => {
  const text = `app: a\nprocesses: { web: { run: x } }\ncron: { job: { run: x, schedule: "${schedule}" } }`;
  expect(() => parseAppConfig(text)).toThrow(ZddError);
});

/** One field of a schedule: a star, steps, a range or a list. */
function field(low: number, high: number): fc.Arbitrary<string> {
  const value = fc.integer({ min: low, max: high });
  return fc.oneof(
    { arbitrary: fc.constant('*'), weight: 3 },
    { arbitrary: fc.integer({ min: 2, max: 20 }).map((step) => `*/${step}`), weight: 1 },
    {
      arbitrary: fc.tuple(value, value).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
      weight: 1,
    },
    {
      arbitrary: fc.array(value, { minLength: 1, maxLength: 4 }).map((list) => list.join(',')),
      weight: 2,
    },
  );
}

/** When each is due next after `from`, by systemd's own reading: one process for all of them. */
function nextBySystemd(calendars: readonly string[], from: number): number[] {
  const base = `${new Date(from).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
  const out = execFileSync(
    'systemd-analyze',
    ['calendar', `--base-time=${base}`, '--', ...calendars],
    {
      encoding: 'utf8',
      env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
    },
  );
  return [...out.matchAll(/Next elapse: \w+ (\S+) (\S+) UTC/g)].map(([, date, clock]) =>
    at(`${date}T${clock}Z`),
  );
}

test('systemd means the same by what it is told', () => {
  const schedule = fc
    .tuple(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 7))
    .map((fields) => utc(fields.join(' ')))
    // What croner does not take, no zdd.yaml can say.
    .filter((when) => nextRun(when, 0) !== null);
  const minutes = fc.integer({ min: 0, max: 4 * 365 * 24 * 60 });
  fc.assert(
    fc.property(
      // Many to a process: on a busy machine sixty processes take longer than a test may.
      fc.array(schedule, { minLength: 1, maxLength: 100, size: 'max' }),
      minutes.map((minute) => at('2026-01-01T00:00Z') + minute * 60_000),
      (schedules, from) => {
        const calendars = schedules.map(calendarsOf);
        const said = nextBySystemd(calendars.flat(), from);
        expect(said.length).toBe(calendars.flat().length);
        const earliest = calendars.map(({ length }) => Math.min(...said.splice(0, length)));
        expect(schedules.map((when) => [when, nextRun(when, from)])).toEqual(
          schedules.map((when, index) => [when, earliest[index]]),
        );
      },
    ),
    { numRuns: 5 },
  );
});

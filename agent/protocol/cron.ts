import { Cron } from 'croner';
import { z } from 'zod';
import { duration } from './duration-field.ts';

const MOST_JOBS = 32;

const NICKNAMES: Readonly<Record<string, string>> = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
  '@yearly': '0 0 1 1 *',
};

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

interface Field {
  readonly low: number;
  readonly high: number;
  /** Names, the first of which is `low`. */
  readonly names: readonly string[];
}
const FIELDS: readonly Field[] = [
  { low: 0, high: 59, names: [] },
  { low: 0, high: 23, names: [] },
  { low: 1, high: 31, names: [] },
  { low: 1, high: 12, names: MONTHS },
  { low: 0, high: 7, names: DAYS },
];

const schedule = z.string().refine((text) => {
  const fields = fieldsOf(text);
  return fields !== null && nextRun({ schedule: text, zone: 'UTC' }, 0) !== null;
}, 'expected five fields such as "0 3 * * *", or @hourly, @daily, @weekly, @monthly, @yearly');

const zone = z
  .string()
  .refine(
    (name) => /^[A-Za-z0-9_+/-]+$/.test(name) && isZone(name),
    'expected a time zone such as "Europe/Berlin"',
  );

const job = z.strictObject({
  schedule: schedule.describe('Minute, hour, day of the month, month, day of the week.'),
  run: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .describe('What is run, as a process is.'),
  zone: zone.default('UTC').describe('The time zone of the schedule.'),
  timeout: duration().default(3_600_000).describe('How long a run may take.'),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string()).default({}),
});

/** `cron` of a `zdd.yaml`: jobs by name. */
export const cron = z
  .record(
    z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,30}$/, 'expected lower-case letters, digits and "-", at most 31'),
    job,
  )
  .refine((jobs) => Object.keys(jobs).length <= MOST_JOBS, `expected at most ${MOST_JOBS} jobs`)
  .default({})
  .describe('Jobs that run at certain times, in the release that serves.');

export type CronJob = z.output<typeof job>;
/** When a job runs. */
export interface Schedule {
  readonly schedule: string;
  readonly zone: string;
}

/** The first time after `after` at which it is due; null: never. Both in ms since the epoch. */
export function nextRun(
  { schedule: text, zone: timezone }: Schedule,
  after: number,
): number | null {
  try {
    const found = new Cron(NICKNAMES[text] ?? text, { timezone, mode: '5-part' });
    return found.nextRun(new Date(after))?.getTime() ?? null;
  } catch {
    return null;
  }
}

/** How far times are counted one by one. */
const MOST_COUNTED = 1_000;

/** The last time in (after, until] at which it was due, and how many there were, up to 1,000. */
export function lastDue(
  when: Schedule,
  after: number,
  until: number,
): { readonly at: number; readonly count: number } | null {
  let last: { at: number; count: number } | null = null;
  for (let at = nextRun(when, after); at !== null && at <= until; at = nextRun(when, at)) {
    const count: number = (last?.count ?? 0) + 1;
    if (count > MOST_COUNTED) {
      // Of a long time the end is what matters.
      const later = lastDue(when, Math.max(at, until - MOST_COUNTED * 60_000), until);
      return later === null ? last : { at: later.at, count: MOST_COUNTED };
    }
    last = { at, count };
  }
  return last;
}

/**
 * The same as values of `OnCalendar=` (systemd.time(7)). Two, where day of the month and day of the
 * week are both given: cron runs on either.
 */
export function calendarsOf({ schedule: text, zone: timezone }: Schedule): string[] {
  const fields = fieldsOf(text);
  if (fields === null) throw new Error(`not a schedule: ${text}`);
  const [minutes, hours, days, months, weekdays] = fields.map((values, index) =>
    index === 4 ? weekdayText(values) : listText(values, FIELDS[index]),
  );
  const line = (weekday = '*', day = '*'): string => {
    const prefix = weekday === '*' ? '' : `${weekday} `;
    return `${prefix}*-${months}-${day} ${hours}:${minutes}:00 ${timezone}`;
  };
  // As cron has it, "every day" is a star and nothing else: 0-6 is a choice of days.
  const [, , day, , weekday] = partsOf(text);
  if (weekday === '*') return [line('*', days)];
  if (day === '*') return [line(weekdays, '*')];
  return [line('*', days), line(weekdays, '*')];
}

function listText(values: readonly number[], field: Field | undefined): string {
  if (field === undefined || values.length === field.high - field.low + 1) return '*';
  return values.join(',');
}

function weekdayText(values: readonly number[]): string {
  const days = new Set(values.map((value) => value % 7));
  if (days.size === 7) return '*';
  return [...days]
    .toSorted((a, b) => a - b)
    .map((day) => DAYS[day] ?? '')
    .join(',');
}

/** The values of each field, sorted; null for what is no schedule of five fields. */
function fieldsOf(text: string): number[][] | null {
  const parts = partsOf(text);
  if (parts.length !== FIELDS.length) return null;
  const read = FIELDS.map((field, index) => valuesOf(parts[index] ?? '', field));
  const whole = read.filter((values) => values !== null);
  return whole.length === FIELDS.length ? whole : null;
}

function partsOf(text: string): string[] {
  return (NICKNAMES[text] ?? text).trim().split(/\s+/);
}

function valuesOf(text: string, field: Field): number[] | null {
  const found = new Set<number>();
  for (const part of text.toLowerCase().split(',')) {
    const [, from, to, step] = /^(\*|\w+)(?:-(\w+))?(?:\/(\d+))?$/.exec(part) ?? [];
    if (from === undefined || (from === '*' && to !== undefined)) return null;
    // As in cron: a step needs a range or a star.
    if (step !== undefined && from !== '*' && to === undefined) return null;
    const first = from === '*' ? field.low : numberOf(from, field);
    const last = from === '*' ? field.high : to === undefined ? first : numberOf(to, field);
    const by = Number(step ?? 1);
    if (first === null || last === null || first > last || by < 1) return null;
    for (let value = first; value <= last; value += by) found.add(value);
  }
  return [...found].toSorted((a, b) => a - b);
}

function numberOf(text: string, { low, high, names }: Field): number | null {
  const named = names.indexOf(text);
  const value = named >= 0 ? low + named : /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return value >= low && value <= high ? value : null;
}

function isZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

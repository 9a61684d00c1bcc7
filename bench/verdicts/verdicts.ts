import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { type Bench, BenchError, type BenchResult } from '../bench.ts';
import { table } from '../table.ts';
import { runReal } from './real.ts';
import { rowOf, type Truth, type VerdictRow } from './row.ts';
import { generator, simulate, WITHIN_MS } from './simulate.ts';

const RATES = [0.2, 1, 20, 500, 5_000];
const ERRORS = [0, 0.001, 0.005, 0.01, 0.05, 1];
const SHIFTS_MS = [20, 100, 1_500];
const DEFAULT_RUNS = 200;
const DEFAULT_REAL = 3;

const good = { latencyShift: 0, stable: 'good' } as const;
const bad = { latencyShift: 0, stable: 'bad' } as const;

/** What is simulated: every rate, with every truth. */
const SIMULATED: readonly Truth[] = RATES.flatMap((rps) => [
  ...ERRORS.map((trueErrorRate): Truth => ({ rps, trueErrorRate, ...good })),
  ...SHIFTS_MS.map(
    (latencyShift): Truth => ({ rps, trueErrorRate: 0, latencyShift, stable: 'good' }),
  ),
  ...[0, 0.06, 1].map((trueErrorRate): Truth => ({ rps, trueErrorRate, ...bad })),
]);

/** One of each kind through HAProxy: clean, bad, all bad, slow, slower, and stable as bad. */
const REAL: readonly Truth[] = [
  { rps: 20, trueErrorRate: 0.05, ...good },
  { rps: 150, trueErrorRate: 0, ...good },
  { rps: 150, trueErrorRate: 0.05, ...good },
  { rps: 150, trueErrorRate: 1, ...good },
  { rps: 20, trueErrorRate: 0, latencyShift: 1_500, stable: 'good' },
  { rps: 150, trueErrorRate: 0.06, ...bad },
  { rps: 150, trueErrorRate: 1, ...bad },
];

/** How often a verdict is right, and how soon it comes. */
export const verdictsBench: Bench = {
  name: 'verdicts',
  summary: 'what the gates say of releases whose truth is known, and when',
  flags: [
    `--runs N   simulated, per case (${DEFAULT_RUNS})`,
    `--real N   through HAProxy, per case (${DEFAULT_REAL}); 0: none`,
  ],

  async run(args, { say, signal }): Promise<BenchResult> {
    const { runs, real } = read(args);
    const rows: VerdictRow[] = [];
    for (const [index, truth] of SIMULATED.entries()) {
      signal.throwIfAborted();
      say(`${tell(truth)}: ${runs} simulated runs`);
      const random = generator(index + 1);
      const all = Array.from({ length: runs }, () => simulate(truth, random));
      rows.push(rowOf(truth, 'simulation', all));
    }
    if (real > 0) {
      for (const truth of REAL) {
        say(`${tell(truth)}: ${real} runs through HAProxy`);
        rows.push(rowOf(truth, 'haproxy', await runReal(truth, real, signal)));
      }
    }
    const machine = { cores: availableParallelism(), node: process.version };
    return { text: textOf(rows), json: { schemaVersion: 1, rows, machine } };
  },
};

function read(args: readonly string[]): { runs: number; real: number } {
  const { values } = parseArgs({
    args: [...args],
    options: { runs: { type: 'string' }, real: { type: 'string' } },
  });
  const whole = (text: string | undefined, usual: number, least: number): number => {
    const value = text === undefined ? usual : Number(text);
    if (Number.isInteger(value) && value >= least && value <= 10_000) return value;
    throw new BenchError('expected a whole number of runs', [
      'npm run bench -- verdicts --runs 50',
    ]);
  };
  return { runs: whole(values.runs, DEFAULT_RUNS, 1), real: whole(values.real, DEFAULT_REAL, 0) };
}

function tell({ rps, trueErrorRate, latencyShift, stable }: Truth): string {
  const shift = latencyShift > 0 ? `, ${latencyShift} ms slower` : '';
  return `${rps}/s, ${100 * trueErrorRate} % errors${shift}, stable ${stable}`;
}

function textOf(rows: readonly VerdictRow[]): string {
  const shown = rows.map((row) => [
    row.by,
    row.rps,
    `${100 * row.trueErrorRate} %`,
    row.latencyShift === 0 ? null : `+${row.latencyShift} ms`,
    row.stable,
    row.runs,
    row.fail,
    row.pass,
    row.inconclusive,
    row.medianSecondsToVerdict,
    row.medianRequestsToVerdict,
  ]);
  const ends = ['fail', 'pass', 'inconclusive', 'seconds', 'requests'];
  return [
    table(['by', 'req/s', 'errors', 'shift', 'stable', 'runs', ...ends], shown),
    '',
    `req/s: on the candidate, and as many on stable. inconclusive: not decided within ${WITHIN_MS / 60_000} minutes`,
    '(60 s through HAProxy), held because stable is as bad, or paused because it is slower. seconds, requests: medians to the',
    'verdict, of what failed or passed.',
  ].join('\n');
}

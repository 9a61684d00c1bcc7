import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Bench, BenchError, type BenchResult } from '../bench.ts';
import { type Sent, sendFor } from '../signals/load.ts';
import { openStage, type Program, type Stage } from '../switch/stage.ts';
import { table } from '../table.ts';
import { ask, processorMs, startApps, startLive, type Way } from './haproxies.ts';

const AGENT = fileURLToPath(new URL('agent.ts', import.meta.url));
const SPOP = fileURLToPath(new URL('spop.ts', import.meta.url));
/** Of each of the two HAProxys that are asked at the same time. */
const RATE = 500;
const SHARE = 0.1;
const DEFAULTS = { rounds: 20, seconds: 1 };
const READY_MS = 15_000;

/** `hung` and `dead`: stopped or killed the moment the load begins. */
type State = 'none' | 'well' | 'hung' | 'dead';

interface Case {
  readonly name: string;
  readonly way: Way;
  readonly state: State;
}

const CASES: readonly Case[] = [
  { name: 'no shadow: the noise', way: 'none', state: 'none' },
  { name: 'shadow, not copying now', way: 'ring', state: 'none' },
  { name: 'ring, agent well', way: 'ring', state: 'well' },
  { name: 'ring, agent hung', way: 'ring', state: 'hung' },
  { name: 'ring, agent dead', way: 'ring', state: 'dead' },
  { name: 'SPOE, agent well', way: 'spoe', state: 'well' },
  { name: 'SPOE, agent hung', way: 'spoe', state: 'hung' },
  { name: 'SPOE, agent dead', way: 'spoe', state: 'dead' },
];

interface Row {
  readonly case: string;
  readonly requests: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Than of the HAProxy without shadow at the same time: the median over rounds. */
  readonly p50MoreMs: number;
  readonly p99MoreMs: number;
  /** Processor time of HAProxy a request. */
  readonly haproxyUs: number;
  readonly haproxyMoreUs: number;
}

interface Round {
  readonly own: Sent;
  /** What a HAProxy without shadow did meanwhile. */
  readonly beside: Sent;
  /** Processor time of the two, ms. */
  readonly ownMs: number;
  readonly besideMs: number;
}

/** What copying a share of live requests costs those requests. */
export const shadowBench: Bench = {
  name: 'shadow',
  summary: 'what shadow traffic costs live requests, the agent well, hung and dead; SPOE beside it',
  flags: [
    `--rounds N    each case once a round (${DEFAULTS.rounds})`,
    `--seconds N   per case and round (${DEFAULTS.seconds})`,
  ],

  async run(args, session): Promise<BenchResult> {
    const { rounds, seconds } = numbersOf(args);
    await using stage = await openStage(session);
    const beside = await openPlace(stage, 'beside', 'none');
    const places = new Map<Way, Place>();
    for (const way of ['none', 'ring', 'spoe'] as const) {
      places.set(way, await openPlace(stage, way, way));
    }
    const measured = new Map<Case, Round[]>(CASES.map((each) => [each, []]));
    for (let round = 0; round < rounds; round += 1) {
      session.say(`round ${round + 1} of ${rounds}`);
      // Another case goes first each time.
      for (let n = 0; n < CASES.length; n += 1) {
        const each = CASES[(n + round) % CASES.length];
        const place = each === undefined ? undefined : places.get(each.way);
        if (each === undefined || place === undefined) continue;
        measured.get(each)?.push(await measure(stage, place, beside, each, seconds));
      }
    }
    const rows = CASES.map((each) => rowOf(each.name, measured.get(each) ?? []));
    const machine = { cores: availableParallelism(), node: process.version };
    const json = { schemaVersion: 1, ratePerSecond: RATE, share: SHARE, rows, machine };
    return { text: textOf(rows), json };
  },
};

interface Place {
  readonly folder: string;
  readonly port: number;
}

async function openPlace(stage: Stage, name: string, way: Way): Promise<Place> {
  const folder = join(stage.folder, name);
  await mkdir(folder);
  const port = await stage.freePort();
  await startApps(stage, folder);
  await startLive(stage, folder, port, way, SHARE);
  return { folder, port };
}

async function measure(
  stage: Stage,
  place: Place,
  beside: Place,
  { way, state }: Case,
  seconds: number,
): Promise<Round> {
  const agent = state === 'none' ? undefined : await startAgent(stage, place, way);
  if (agent !== undefined && state === 'hung') process.kill(agent.pid, 'SIGSTOP');
  if (agent !== undefined && state === 'dead') process.kill(agent.pid, 'SIGKILL');
  try {
    const send = async ({ folder, port }: Place): Promise<{ sent: Sent; ms: number }> => {
      const before = await processorMs(folder);
      const sent = await sendFor(port, seconds, RATE, stage.signal);
      return { sent, ms: (await processorMs(folder)) - before };
    };
    const [own, other] = await Promise.all([send(place), send(beside)]);
    return { own: own.sent, beside: other.sent, ownMs: own.ms, besideMs: other.ms };
  } finally {
    if (agent !== undefined && state === 'hung') process.kill(agent.pid, 'SIGKILL');
    await agent?.stop();
    if (way === 'ring') await ask(place.folder, 'clear table zdd_shop_shadow');
  }
}

/** Starts what reads the copies, and waits until HAProxy has found it. */
async function startAgent(stage: Stage, { folder }: Place, way: Way): Promise<Program> {
  const agent =
    way === 'ring'
      ? stage.run(process.execPath, [AGENT, folder, String(SHARE)])
      : stage.run(process.execPath, [SPOP, join(folder, 'spop.sock')]);
  const isReady = async (): Promise<boolean> =>
    way === 'ring'
      ? (await ask(folder, 'show table zdd_shop_shadow')).includes('gpc0=')
      : /^ready$/m.test(agent.output()) &&
        /^spop,agent,.*,UP,/m.test(await ask(folder, 'show stat spop 4 -1'));
  const until = performance.now() + READY_MS;
  while (!(await isReady())) {
    if (performance.now() > until) throw new BenchError(`no reader: ${agent.output()}`);
    await stage.wait(50);
  }
  return agent;
}

function rowOf(name: string, rounds: readonly Round[]): Row {
  const waits = rounds.flatMap(({ own }) => [...own.waits]).toSorted((a, b) => a - b);
  const sum = (of: (sent: Sent) => number): number =>
    rounds.reduce((total, { own }) => total + of(own), 0);
  const more = (share: number): number => {
    const differences = rounds.map(
      ({ own, beside }) => at(own.waits, share) - at(beside.waits, share),
    );
    return at(
      differences.toSorted((a, b) => a - b),
      0.5,
    );
  };
  const total = (of: (round: Round) => number): number =>
    rounds.reduce((all, round) => all + of(round), 0);
  const requests = sum(({ requests: n }) => n);
  const besideUs =
    (1_000 * total(({ besideMs }) => besideMs)) / total(({ beside }) => beside.requests);
  const haproxyUs = (1_000 * total(({ ownMs }) => ownMs)) / requests;
  return {
    case: name,
    requests,
    failed: sum(({ failed }) => failed),
    p50Ms: at(waits, 0.5),
    p99Ms: at(waits, 0.99),
    p50MoreMs: more(0.5),
    p99MoreMs: more(0.99),
    haproxyUs,
    haproxyMoreUs: haproxyUs - besideUs,
  };
}

/** @param waits ascending */
function at(waits: readonly number[], share: number): number {
  return waits[Math.min(waits.length - 1, Math.floor(waits.length * share))] ?? 0;
}

function numbersOf(args: readonly string[]): typeof DEFAULTS {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { rounds: { type: 'string' }, seconds: { type: 'string' } },
    });
    const rounds = Number(values.rounds ?? DEFAULTS.rounds);
    const seconds = Number(values.seconds ?? DEFAULTS.seconds);
    const fit = [rounds, seconds].every((n) => Number.isInteger(n) && n >= 1 && n <= 100);
    if (fit) return { rounds, seconds };
    throw new Error('--rounds, --seconds: expected 1 to 100');
  } catch (error) {
    throw new BenchError(error instanceof Error ? error.message : String(error), ['npm run bench']);
  }
}

function textOf(rows: readonly Row[]): string {
  const ms = (value: number): string => value.toFixed(2);
  return table(
    ['', 'requests', 'failed', 'p50 ms', 'p99 ms', 'p50 more', 'p99 more', 'HAProxy µs', 'µs more'],
    rows.map((row) => [
      row.case,
      row.requests,
      row.failed,
      ms(row.p50Ms),
      ms(row.p99Ms),
      ms(row.p50MoreMs),
      ms(row.p99MoreMs),
      row.haproxyUs,
      row.haproxyMoreUs,
    ]),
  );
}

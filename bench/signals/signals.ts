import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { LogPlace } from '../../agent/haproxy/access-log/format.ts';
import { replaceRegion } from '../../agent/haproxy/config/region.ts';
import { renderRegion } from '../../agent/haproxy/config/render.ts';
import { writeMaps } from '../../agent/haproxy/config-file.ts';
import { readRoute } from '../../agent/protocol/routes.ts';
import { type Bench, BenchError, type BenchResult, type BenchSession } from '../bench.ts';
import { openStage, type Program, type Stage, untilAnswers } from '../switch/stage.ts';
import { table } from '../table.ts';
import { sendFor } from './load.ts';

const READER = fileURLToPath(new URL('reader.ts', import.meta.url));
const RATE = 5_000;
const DEFAULT_SECONDS = 10;
/** Clock ticks a second of /proc, on every Linux there is. */
const TICKS = 100;

/** What becomes of the access log. */
type Mode = 'none' | 'read' | 'absent' | 'hung';

interface Case {
  readonly name: string;
  readonly mode: Mode;
  /** Requests a second; null: as many as are answered. */
  readonly rate: number | null;
}

const CASES: readonly Case[] = [
  { name: 'no access log', mode: 'none', rate: RATE },
  { name: 'read', mode: 'read', rate: RATE },
  { name: 'agent dead', mode: 'absent', rate: RATE },
  { name: 'agent hung', mode: 'hung', rate: RATE },
  { name: 'no access log, flat out', mode: 'none', rate: null },
  { name: 'read, flat out', mode: 'read', rate: null },
];

/** One case, measured. */
export interface SignalsRow {
  readonly case: string;
  readonly perSecond: number;
  readonly requests: number;
  readonly failed: number;
  readonly p99Ms: number;
  readonly haproxyUs: number;
  /** Of the reader: a line, and its share of one core. */
  readonly readerUs: number | null;
  readonly readerShare: number | null;
  readonly lostLines: number | null;
  /** Every k-th line was judged, at most. */
  readonly oneOf: number | null;
}

/** What it costs that every request is told to the agent: HAProxy, and the agent. */
export const signalsBench: Bench = {
  name: 'signals',
  summary: 'what the access log costs HAProxy and the agent, read, dead and hung',
  flags: [`--seconds N   per case (${DEFAULT_SECONDS})`],

  async run(args, session): Promise<BenchResult> {
    const seconds = secondsOf(args);
    const rows: SignalsRow[] = [];
    for (const each of CASES) {
      session.say(`${each.name}: ${seconds} s`);
      rows.push(await measureCase(each, seconds, session));
    }
    const machine = { cores: availableParallelism(), node: process.version };
    return { text: textOf(rows), json: { schemaVersion: 1, rows, machine } };
  },
};

/** Runs one case on a HAProxy of its own. */
export async function measureCase(
  { name, mode, rate }: Case,
  seconds: number,
  session: BenchSession,
): Promise<SignalsRow> {
  await using stage = await openStage(session);
  const port = await stage.freePort();
  const reader = mode === 'none' ? undefined : stage.run(process.execPath, [READER, stage.folder]);
  const place =
    reader === undefined ? undefined : parsePlace(await said(reader, 'place ', session));
  const haproxy = await startHaproxy(stage, port, place);
  if (mode === 'absent') await reader?.stop();
  if (mode === 'hung' && reader !== undefined) process.kill(reader.pid, 'SIGSTOP');
  const before = await cpuMs(haproxy.pid);
  const sent = await sendFor(port, seconds, rate, session.signal);
  const haproxyMs = (await cpuMs(haproxy.pid)) - before;
  const row = {
    case: name,
    perSecond: sent.requests / sent.seconds,
    requests: sent.requests,
    failed: sent.failed,
    p99Ms: sent.p99Ms,
    haproxyUs: (1_000 * haproxyMs) / sent.requests,
  };
  const nothing = { readerUs: null, readerShare: null, lostLines: null, oneOf: null };
  if (mode !== 'read' || reader === undefined) return { ...row, ...nothing };
  // The last lines are on their way for some milliseconds.
  await stage.wait(500);
  process.kill(reader.pid, 'SIGTERM');
  const { cpuMs: usedMs, lines, oneOf } = parseUsed(await said(reader, 'used ', session));
  return {
    ...row,
    readerUs: (1_000 * usedMs) / lines,
    readerShare: usedMs / (1_000 * sent.seconds),
    // One line more: the request that found HAProxy ready.
    lostLines: sent.requests + 1 - lines,
    oneOf,
  };
}

/** A HAProxy with the region as the agent renders it, before an app that costs next to nothing. */
async function startHaproxy(
  stage: Stage,
  port: number,
  accessLog: LogPlace | undefined,
): Promise<Program> {
  const app = join(stage.folder, 'app.sock');
  const server = {
    name: 'r1',
    address: { kind: 'unix' as const, path: app },
    weight: 100,
    state: 'ready' as const,
  };
  const { text, maps } = renderRegion(
    { apps: [{ app: 'shop', routes: [readRoute('*')], check: null, servers: [server] }] },
    { bind: [`127.0.0.1:${port}`], chroot: undefined, mapFolder: stage.folder, accessLog },
  );
  const path = join(stage.folder, 'haproxy.cfg');
  const own = `frontend app
  mode http
  timeout client 60s
  bind unix@${app}
  http-request return status 200 content-type text/plain string ok
`;
  await writeFile(path, replaceRegion(own, text));
  if (maps !== undefined) await writeMaps(path, maps);
  const program = stage.run('haproxy', ['-db', '-f', path]);
  await untilAnswers(`http://127.0.0.1:${port}/`, stage.signal);
  return program;
}

/** Waits for what a program says after this word. */
async function said(program: Program, word: string, { signal }: BenchSession): Promise<string> {
  for (let tries = 0; tries < 500; tries += 1) {
    const line = program
      .output()
      .split('\n')
      .slice(0, -1)
      .find((each) => each.startsWith(word));
    if (line !== undefined) return line.slice(word.length);
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new BenchError(`the reader never said "${word.trim()}": ${program.output()}`);
}

function parsePlace(text: string): LogPlace {
  const place: unknown = JSON.parse(text);
  if (typeof place !== 'object' || place === null) throw new BenchError('the reader has no place');
  return { port: Number(Reflect.get(place, 'port')), name: String(Reflect.get(place, 'name')) };
}

function parseUsed(text: string): { cpuMs: number; lines: number; oneOf: number } {
  const used: unknown = JSON.parse(text);
  const of = (key: string): number =>
    typeof used === 'object' && used !== null ? Number(Reflect.get(used, key)) : Number.NaN;
  return { cpuMs: of('cpuMs'), lines: of('lines'), oneOf: of('oneOf') };
}

/** Processor time of a process so far. */
async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // proc(5): behind the name in brackets, utime and stime are the 12th and 13th field.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS;
}

function secondsOf(args: readonly string[]): number {
  try {
    const { values } = parseArgs({ args: [...args], options: { seconds: { type: 'string' } } });
    const seconds = Number(values.seconds ?? DEFAULT_SECONDS);
    if (seconds >= 1 && seconds <= 600) return seconds;
    throw new Error(`--seconds: expected 1 to 600, got ${values.seconds}`);
  } catch (error) {
    throw new BenchError(error instanceof Error ? error.message : String(error), ['npm run bench']);
  }
}

function textOf(rows: readonly SignalsRow[]): string {
  const head = ['access log', 'req/s', 'requests', 'failed', 'p99 ms', 'HAProxy µs/req'];
  return table(
    [...head, 'reader µs/line', 'reader % of a core', 'lines lost', 'judged 1 of'],
    rows.map((row) => [
      row.case,
      Math.round(row.perSecond),
      row.requests,
      row.failed,
      row.p99Ms,
      row.haproxyUs,
      row.readerUs,
      row.readerShare === null ? null : 100 * row.readerShare,
      row.lostLines,
      row.oneOf,
    ]),
  );
}

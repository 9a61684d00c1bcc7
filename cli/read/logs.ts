import type { LogLine } from '../../agent/protocol/api.ts';
import type { Agent } from '../connect/agent.ts';
import type { Context } from '../context.ts';
import { askAll } from '../hosts/ask-all.ts';
import type { Fleet } from '../hosts/fleet.ts';
import { counted } from '../render/amounts.ts';
import { logText } from '../render/logs.ts';
import { findTarget } from '../target.ts';
import { isWanted, type Level, type LevelWish, levelReader } from './level.ts';
import { showMerged } from './merged.ts';
import { untilReaderLeaves } from './reader.ts';

export interface LogsWish {
  readonly follow: boolean;
  readonly release: string | undefined;
  /** Process types; all when there is none. */
  readonly processes: readonly string[];
  readonly level: LevelWish | undefined;
  readonly lines: number | undefined;
  /** Only lines of the last so many ms. */
  readonly sinceMs: number | undefined;
}

/** The most lines an agent gives at once. */
const MOST = 10_000;
const USUAL = 100;

/** @returns the exit code */
export async function printLogs(context: Context, wish: LogsWish): Promise<number> {
  const { screen } = context;
  const agent = await context.agent();
  const { app } = await findTarget(context, agent);
  return untilReaderLeaves(context, async (signal) => {
    const sieve = openSieve(wish);
    const show = ({ line, level }: Sieved) => {
      screen.value({ ...line, level });
      screen.data(logText(screen, line));
    };
    if (!wish.follow) {
      for (const each of await pastLines(agent, app, wish, sieve, signal)) show(each);
    } else {
      const onGap = () => screen.note('(the agent is away)');
      for await (const line of agent.followLogs(app, queryOf(wish), { signal, onGap })) {
        const sieved = sieve.take(line);
        if (sieved !== null) show(sieved);
      }
    }
    const left = leftOut(sieve.unknown());
    if (left !== null) screen.note(left);
  });
}

/** The past of several hosts as one, in the order of time. @returns the exit code */
export async function printFleetLogs(fleet: Fleet, wish: LogsWish): Promise<number> {
  let unknown = 0;
  const answers = await askAll(fleet, async (agent, host) => {
    const { app } = await findTarget(host.context, agent);
    const sieve = openSieve(wish);
    const lines = await pastLines(agent, app, wish, sieve, fleet.interrupts.signal);
    unknown += sieve.unknown();
    return lines.map(({ line, level }) => ({ at: line.at, line, level }));
  });
  const exit = showMerged(fleet, answers, (screen, { line, level }) => {
    screen.value({ ...line, level });
    screen.data(logText(screen, line));
  });
  const left = leftOut(unknown);
  if (left !== null) fleet.screen.note(left);
  return exit;
}

interface Sieved {
  readonly line: LogLine;
  readonly level: Level | null;
}

/** What is asked for of an app's output and only we can tell. */
interface Sieve {
  /** @returns null for a line that was not asked for */
  take(line: LogLine): Sieved | null;
  /** How many were left out because they say no level. */
  unknown(): number;
}

function openSieve({ sinceMs, processes, level: wanted }: LogsWish): Sieve {
  const from = sinceMs === undefined ? 0 : Date.now() - sinceMs;
  const levelOf = levelReader();
  let unknown = 0;
  return {
    take(line) {
      const level = levelOf(line);
      if (line.at < from || !isOf(line, processes)) return null;
      if (wanted === undefined || isWanted(level, wanted)) return { line, level };
      if (level === null) unknown += 1;
      return null;
    },
    unknown: () => unknown,
  };
}

function isOf({ slot }: LogLine, processes: readonly string[]): boolean {
  // `shop.r42-ab12cd3-d57-web-1`
  const process = slot.replace(/^.*-d\d+-/, '').replace(/-\d+$/, '');
  return processes.length < 2 || processes.includes(process);
}

async function pastLines(
  agent: Agent,
  app: string,
  wish: LogsWish,
  sieve: Sieve,
  signal: AbortSignal,
): Promise<Sieved[]> {
  const kept: Sieved[] = [];
  for await (const line of agent.logs(app, queryOf(wish), signal)) {
    const sieved = sieve.take(line);
    if (sieved !== null) kept.push(sieved);
  }
  const { lines } = wish;
  if (lines === undefined)
    return isSieved(wish) && wish.sinceMs === undefined ? kept.slice(-USUAL) : kept;
  return lines === 0 ? [] : kept.slice(-lines);
}

/** Whether more lines have to be asked for than will be shown. */
function isSieved({ level, processes }: LogsWish): boolean {
  return level !== undefined || processes.length > 1;
}

function queryOf(wish: LogsWish) {
  const [process, ...others] = wish.processes;
  const plenty = isSieved(wish) || (wish.lines === undefined && wish.sinceMs !== undefined);
  return {
    ...(wish.release === undefined ? {} : { release: wish.release }),
    ...(process === undefined || others.length > 0 ? {} : { process }),
    // Neither a time asked for nor a level is cut short by a number that nobody asked for.
    lines: plenty ? MOST : Math.min(wish.lines ?? USUAL, MOST),
  };
}

function leftOut(unknown: number): string | null {
  if (unknown === 0) return null;
  return `(${counted(unknown, 'line')} without a level left out; with them: --level LEVEL,unknown)`;
}

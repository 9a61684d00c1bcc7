import { availableParallelism, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { type Bench, BenchError, type BenchResult, type BenchSession } from '../bench.ts';
import { table } from '../table.ts';
import { caddy } from './caddy.ts';
import { measure } from './measure.ts';
import { nginx } from './nginx.ts';
import { plainRestart } from './plain-restart.ts';
import { pm2 } from './pm2.ts';
import type { Row } from './row.ts';
import { openStage } from './stage.ts';
import type { Tool } from './tool.ts';
import { zddAgent } from './zdd-agent.ts';

const TOOLS: readonly Tool[] = [zddAgent, nginx, caddy, pm2, plainRestart];
const DEFAULT_SWITCHES = 8;

/** A tool that could not be measured, and why. */
interface Skipped {
  readonly tool: string;
  readonly reason: string;
}

/** What a switch to a new release costs, for each tool, in one run under the same load. */
export const switchBench: Bench = {
  name: 'switch',
  summary: 'requests lost and WebSockets cut by a switch, ours and those of others',
  flags: [
    `--switches N   switches per tool (${DEFAULT_SWITCHES})`,
    `--tools A,B    only tools whose names have one of these words`,
  ],

  async run(args, session): Promise<BenchResult> {
    const { switches, tools } = flagsOf(args);
    const rows: Row[] = [];
    const skipped: Skipped[] = [];
    for (const tool of tools) {
      session.say(`${tool.name}: ${switches} switches under load`);
      const row = await measured(tool, switches, session);
      if ('reason' in row) skipped.push(row);
      else rows.push(row);
    }
    if (rows.length === 0) {
      throw new BenchError(`nothing was measured: ${skipped.map((one) => one.reason).join('; ')}`);
    }
    const machine = {
      cores: availableParallelism(),
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      node: process.version,
    };
    return {
      text: textOf(rows, skipped),
      json: { schemaVersion: 1, rows, skipped, machine, at: new Date().toISOString() },
    };
  },
};

async function measured(
  tool: Tool,
  switches: number,
  session: BenchSession,
): Promise<Row | Skipped> {
  await using stage = await openStage(session);
  try {
    await tool.prepare(stage);
  } catch (error) {
    if (!(error instanceof BenchError)) throw error;
    const reason = [error.message, ...error.tries].join(': ');
    session.say(`${tool.name}: left out, ${reason}`);
    return { tool: tool.name, reason };
  }
  return await measure(tool, stage, switches);
}

function flagsOf(args: readonly string[]): { switches: number; tools: readonly Tool[] } {
  const { values } = parsed(args);
  const switches = Number(values.switches ?? DEFAULT_SWITCHES);
  if (!Number.isInteger(switches) || switches < 1) {
    throw new BenchError(`--switches: expected a whole number ≥ 1, got ${values.switches}`);
  }
  const words = values.tools?.split(',') ?? [''];
  const tools = TOOLS.filter((tool) => words.some((word) => tool.name.includes(word)));
  if (tools.length === 0) {
    const names = TOOLS.map((tool) => tool.name).join(', ');
    throw new BenchError(`--tools: none of ${names} has the name ${values.tools}`);
  }
  return { switches, tools };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: { switches: { type: 'string' }, tools: { type: 'string' } },
    });
  } catch (error) {
    throw new BenchError(error instanceof Error ? error.message : String(error), ['npm run bench']);
  }
}

function textOf(rows: readonly Row[], skipped: readonly Skipped[]): string {
  const head = [
    'tool',
    'switches',
    'requests',
    'lost',
    'at stop',
    'WS opened',
    'WS cut',
    'WS at stop',
  ];
  const times = ['switch ms', 'max', 'old until', 'deploy', 'p99 near', 'p99 far'];
  const lines = rows.map((row) => [
    row.tool,
    ...[
      row.switches,
      row.requests,
      row.lost,
      row.lostAtStop,
      row.wsOpened,
      row.wsCut,
      row.wsClosedAtStop,
    ],
    ...[row.switchMs, row.switchMaxMs, row.oldUntilMs, row.deployMs, row.p99NearMs, row.p99FarMs],
  ]);
  return [
    table([...head, ...times], lines),
    ...skipped.map(({ tool, reason }) => `${tool} was left out: ${reason}`),
  ].join('\n');
}

import type { Context } from '../context.ts';
import { logText } from '../render/logs.ts';
import { findTarget } from '../target.ts';
import { untilReaderLeaves } from './reader.ts';

export interface LogsWish {
  readonly follow: boolean;
  readonly release: string | undefined;
  readonly process: string | undefined;
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
  const from = wish.sinceMs === undefined ? 0 : Date.now() - wish.sinceMs;
  const query = {
    ...(wish.release === undefined ? {} : { release: wish.release }),
    ...(wish.process === undefined ? {} : { process: wish.process }),
    // A time asked for is not cut short by a number that nobody asked for.
    lines: Math.min(wish.lines ?? (wish.sinceMs === undefined ? USUAL : MOST), MOST),
  };
  return untilReaderLeaves(context, async (signal) => {
    const stream = wish.follow
      ? agent.followLogs(app, query, { signal, onGap: () => screen.note('(the agent is away)') })
      : agent.logs(app, query, signal);
    for await (const line of stream) {
      if (line.at < from) continue;
      screen.value(line);
      screen.data(logText(screen, line));
    }
  });
}

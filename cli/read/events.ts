import { parseDuration } from '../../agent/protocol/duration.ts';
import type { ZddEvent } from '../../agent/protocol/events.ts';
import type { Context } from '../context.ts';
import { askAll } from '../hosts/ask-all.ts';
import type { Fleet } from '../hosts/fleet.ts';
import { eventLine } from '../render/events.ts';
import { UsageError } from '../usage-error.ts';
import { showMerged } from './merged.ts';
import { untilReaderLeaves } from './reader.ts';

/** @param since `2h`, or the number of an event. @returns the exit code */
export async function printEvents(
  context: Context,
  since: string | undefined,
  follow: boolean,
): Promise<number> {
  const { screen } = context;
  const from = startOf(since);
  const agent = await context.agent();
  const query = {
    ...(context.globals.app === undefined ? {} : { app: context.globals.app }),
    since: from.seq,
  };
  return untilReaderLeaves(context, async (signal) => {
    const stream = follow
      ? agent.followEvents(query, { signal, onGap: () => screen.note('(the agent is away)') })
      : agent.events(query, signal);
    for await (const { raw, event } of stream) {
      if (event === null || event.at >= from.at) screen.value(raw);
      if (event && event.at >= from.at) screen.data(eventLine(screen, event));
    }
  });
}

/** The past of several hosts as one, in the order of time. @returns the exit code */
export async function printFleetEvents(fleet: Fleet, since: string | undefined): Promise<number> {
  const { app } = fleet.globals;
  const from = startOf(since);
  const answers = await askAll(fleet, async (agent) => {
    const query = { ...(app === undefined ? {} : { app }), since: from.seq };
    const told: { at: number; raw: unknown; event: ZddEvent | null }[] = [];
    for await (const { raw, event } of agent.events(query, fleet.interrupts.signal)) {
      // What only a newer agent knows stays behind what came before it.
      const at = event?.at ?? told.at(-1)?.at ?? 0;
      if (event === null || at >= from.at) told.push({ at, raw, event });
    }
    return told;
  });
  return showMerged(fleet, answers, (screen, { raw, event }) => {
    screen.value(raw);
    if (event) screen.data(eventLine(screen, event));
  });
}

function startOf(since: string | undefined): { seq: number; at: number } {
  if (since === undefined) return { seq: 0, at: 0 };
  if (/^\d{1,15}$/.test(since)) return { seq: Number(since), at: 0 };
  const ms = parseDuration(since);
  if (ms === undefined) {
    throw new UsageError(
      `--since: expected a time ago such as 2h, or the number of an event, got "${since}"`,
      ['zdd-agent events --help'],
    );
  }
  return { seq: 0, at: Date.now() - ms };
}

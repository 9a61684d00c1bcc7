import { z } from 'zod';
import { ZddError } from '../../agent/protocol/errors.ts';
import { event } from '../../agent/protocol/events.ts';
import type { ReadEvent } from './agent.ts';
import type { Connection } from './connection.ts';

const KNOWN_EVENTS: ReadonlySet<string> = new Set(
  event.options.map((option) => option.shape.type.value),
);
const laterEvent = z.looseObject({
  seq: z.int(),
  type: z.string().refine((type) => !KNOWN_EVENTS.has(type)),
});
/** @throws ZDD_PROTOCOL_MISMATCH for what is neither an event of ours nor of a newer agent */
export function readEvent(connection: Connection, raw: unknown): ReadEvent {
  const known = event.safeParse(raw);
  if (known.success) return { seq: known.data.seq, raw, event: known.data };
  const later = laterEvent.safeParse(raw);
  if (later.success) return { seq: later.data.seq, raw, event: null };
  throw unreadable(connection, 'an event', raw);
}

/** What an agent has sent and this CLI cannot read. */
export function unreadable(connection: Connection, what: string, raw: unknown): ZddError {
  return new ZddError('ZDD_PROTOCOL_MISMATCH', `the agent sent ${what} this CLI cannot read`, {
    evidence: [
      ['socket', connection.where],
      ['got', JSON.stringify(raw).slice(0, 300)],
    ],
    tries: ['zdd-agent --version'],
  });
}

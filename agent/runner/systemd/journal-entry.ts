import { z } from 'zod';
import { lineText } from '../process/output/lines.ts';

/**
 * A field of `journalctl -o json` (systemd's journal export): a text; bytes when it is not plain
 * UTF-8; a list when the entry has it several times; null when it is too long to be shown.
 */
const field = z.union([z.string(), z.array(z.number()), z.null()]);
const entry = z.object({
  __CURSOR: z.string(),
  /** Microseconds since the epoch. */
  __REALTIME_TIMESTAMP: z.string(),
  MESSAGE: z.union([field, z.array(field)]).optional(),
  PRIORITY: z.string().optional(),
  ZDD_APP: z.string().optional(),
  ZDD_SLOT: z.string().optional(),
  _PID: z.string().optional(),
});

/** One line that an instance has written. */
export interface JournalLine {
  readonly cursor: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly app: string;
  /** The slot's name without the app. */
  readonly name: string;
  /** 0 to 7 as in syslog(3). */
  readonly priority: number;
  readonly text: string;
}

/** Fields that have to be asked for with `--output-fields`. */
export const FIELDS = 'MESSAGE,PRIORITY,ZDD_APP,ZDD_SLOT,_PID';

/**
 * Reads one line of journalctl's output. Null for what no instance has written: systemd's own words,
 * which bear an app's fields from version 255 on.
 */
export function parseEntry(line: string): JournalLine | null {
  const parsed = entry.safeParse(jsonOf(line));
  if (!parsed.success) return null;
  const { ZDD_APP: app, ZDD_SLOT: name, MESSAGE, PRIORITY, _PID } = parsed.data;
  if (app === undefined || name === undefined || MESSAGE === undefined || _PID === '1') return null;
  return {
    cursor: parsed.data.__CURSOR,
    at: Math.floor(Number(parsed.data.__REALTIME_TIMESTAMP) / 1_000),
    app,
    name,
    priority: Number(PRIORITY ?? 6),
    text: lineText(bytesOf(MESSAGE)),
  };
}

/** Reads journalctl's output. */
export function parseEntries(text: string): readonly JournalLine[] {
  return text
    .split('\n')
    .map(parseEntry)
    .filter((line) => line !== null);
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

function bytesOf(message: z.infer<typeof field> | readonly z.infer<typeof field>[]): Buffer {
  if (message === null) return Buffer.from('[too long]');
  if (typeof message === 'string') return Buffer.from(message);
  const numbers = message.filter((part) => typeof part === 'number');
  if (numbers.length === message.length) return Buffer.from(numbers);
  const [first = ''] = message.filter((part) => typeof part !== 'number');
  return bytesOf(first);
}

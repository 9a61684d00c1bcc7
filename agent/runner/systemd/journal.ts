import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Log } from '../process/log.ts';
import { pause } from '../process/wait.ts';
import type { OutputFilter, OutputLine } from '../runner.ts';
import { run, TOOL_ENVIRONMENT } from './bus.ts';
import { FIELDS, type JournalLine, parseEntries, parseEntry } from './journal-entry.ts';
import { partsOf } from './unit-names.ts';

/** A journalctl that ended by itself is started again after this, ms. */
const AGAIN_MS = 1_000;
/** Errors and worse of syslog(3): what a line gets by the prefix `<3>`. */
const ERROR_PRIORITY = 3;
/** What systemd gives a line that says nothing of its own. */
const USUAL_PRIORITY = 6;

/** Knows which release a slot belongs to, also when the slot is gone. */
export interface SlotBook {
  release(app: string, name: string): Promise<string>;
}

/** Whether a slot, by its name alone, is asked for. */
export function isAsked(name: string, { release, process }: OutputFilter): boolean {
  const parts = partsOf(name);
  return (
    (release === undefined || release.split('-')[0] === parts.release) &&
    (process === undefined || process === parts.process)
  );
}

/** The last lines of an app, oldest first. */
export async function lastLines(
  filter: OutputFilter,
  count: number,
  book: SlotBook,
  signal: AbortSignal,
): Promise<readonly OutputLine[]> {
  const names = await namesAsked(filter, signal);
  if (names?.length === 0 || count === 0) return [];
  const matches = [`ZDD_APP=${filter.app}`, ...(names ?? []).map((name) => `ZDD_SLOT=${name}`)];
  // More than asked for, because systemd's own words are among them and are left out.
  const lines = await entries(['--lines', String(count * 2 + 50), ...matches], signal);
  return await Promise.all(lines.slice(-count).map((line) => outputLine(line, book)));
}

/** The last lines of one slot. */
export async function slotLines(
  app: string,
  name: string,
  count: number,
  signal: AbortSignal,
): Promise<readonly JournalLine[]> {
  const matches = [`ZDD_APP=${app}`, `ZDD_SLOT=${name}`];
  return (await entries(['--lines', String(count * 2 + 10), ...matches], signal)).slice(-count);
}

/** The last notices of one slot: those of its `stopped` script, and of an app that logs notices. */
export async function slotNotices(
  app: string,
  name: string,
  count: number,
  signal: AbortSignal,
): Promise<readonly JournalLine[]> {
  const matches = [`ZDD_APP=${app}`, `ZDD_SLOT=${name}`, 'PRIORITY=5'];
  return await entries(['--lines', String(count), ...matches], signal);
}

/** What systemd and the unit's processes have said last, as an admin would read it. */
export async function unitWords(
  unit: string,
  count: number,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const args = ['--quiet', '--no-pager', '--output=cat', '--lines', String(count), '--unit', unit];
  const { stdout } = await run('journalctl', args, signal);
  return stdout.split('\n').filter((line) => line !== '');
}

/**
 * New lines of an app as they come, until `signal`. A journalctl that ends is started again.
 * @param since milliseconds since the epoch
 */
export async function* followLines(
  filter: OutputFilter,
  since: number,
  book: SlotBook,
  log: Log,
  signal: AbortSignal,
): AsyncGenerator<OutputLine, void, undefined> {
  let from = ['--since', `@${(since / 1_000).toFixed(3)}`];
  while (!signal.aborted) {
    for await (const line of follow(['--lines', 'all', ...from, `ZDD_APP=${filter.app}`], signal)) {
      from = ['--after-cursor', line.cursor];
      if (isAsked(line.name, filter)) yield await outputLine(line, book);
    }
    if (signal.aborted) return;
    log('warn', 'journalctl has ended and is started again', { app: filter.app });
    await pause(AGAIN_MS, signal);
  }
}

async function* follow(args: readonly string[], signal: AbortSignal): AsyncGenerator<JournalLine> {
  const child = spawn('journalctl', ['--follow', ...OPTIONS, ...args], {
    env: TOOL_ENVIRONMENT,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const end = (): void => {
    child.kill('SIGTERM');
  };
  // Without a listener an error of the spawn would end the daemon; the lines end either way.
  child.once('error', end);
  signal.addEventListener('abort', end, { once: true });
  try {
    for await (const text of createInterface({ input: child.stdout })) {
      const line = parseEntry(text);
      if (line !== null) yield line;
    }
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}

const OPTIONS = ['--quiet', '--no-pager', '--all', '--output=json', `--output-fields=${FIELDS}`];

async function entries(
  args: readonly string[],
  signal: AbortSignal,
): Promise<readonly JournalLine[]> {
  const { stdout } = await run('journalctl', [...OPTIONS, ...args], signal);
  return parseEntries(stdout);
}

/** The names of all slots that are asked for, gone ones too; undefined for all of the app. */
async function namesAsked(
  filter: OutputFilter,
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  if (filter.release === undefined && filter.process === undefined) return undefined;
  const { stdout } = await run('journalctl', ['--quiet', '--field', 'ZDD_SLOT'], signal);
  return stdout.split('\n').filter((name) => name !== '' && isAsked(name, filter));
}

async function outputLine(
  { at, app, name, priority, text }: JournalLine,
  book: SlotBook,
): Promise<OutputLine> {
  return {
    at,
    slot: `${app}.${name}`,
    app,
    release: await book.release(app, name),
    stream: priority <= ERROR_PRIORITY ? 'err' : 'out',
    ...(priority === USUAL_PRIORITY ? {} : { priority }),
    text,
  };
}

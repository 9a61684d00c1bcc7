import pc from 'picocolors';
import { type CiLog, ciLogOf } from './ci.ts';

export type Colours = ReturnType<typeof pc.createColors>;

/** The right edge of every layout, columns: fits a terminal of 80 with a little air. */
export const EDGE = 78;

/** Where all output of the CLI goes. Data to stdout, everything about it to stderr. */
export interface Screen {
  readonly json: boolean;
  readonly quiet: boolean;
  /** A person watches stderr: lines may move and questions may be asked. */
  readonly live: boolean;
  /** The job log that is written instead, when it is one that knows more than lines. */
  readonly ci: CiLog | null;
  /** Columns of that person's terminal. */
  readonly columns: number;
  /** For stdout and stderr apart: one may be a terminal while the other is a file. */
  readonly out: Colours;
  readonly err: Colours;
  /** Aborted when whoever read our stdout has gone (`| head`). */
  readonly closed: AbortSignal;
  /** One or more lines of data for people; nothing with `--json`. */
  data(text: string): void;
  /** One JSON value on a line of stdout, with `--json` only. */
  value(value: unknown): void;
  /** One or more lines on the way: nothing with `--quiet` or `--json`. */
  note(text: string): void;
  /** An error or the answer to an interrupt: always shown. */
  alarm(text: string): void;
  /** A command to the job log: nothing with `--json`. */
  command(line: string): void;
  /** Moves within the last line of stderr. For `LiveLine` only. */
  raw(text: string): void;
}

export interface ScreenOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly color: boolean;
}

/** The real stdout and stderr of this process. */
export function openScreen(options: ScreenOptions): Screen {
  const closed = new AbortController();
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // EIO is the EPIPE of a terminal whose window was closed.
      if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
      closed.abort();
    });
  }
  const write = (stream: NodeJS.WriteStream, text: string) => {
    if (!stream.destroyed && stream.writable) stream.write(text);
  };
  const dumb = process.env['TERM'] === 'dumb';
  const hushed = options.json || options.quiet;
  const live = process.stderr.isTTY === true && !dumb && !hushed;
  const ci = live || options.json ? null : ciLogOf(process.env, process.cwd());
  const harmless = (text: string) => ci?.harmless(text) ?? text;
  return {
    json: options.json,
    quiet: options.quiet,
    live,
    ci,
    columns: process.stderr.columns ?? 80,
    out: pc.createColors(wantsColour(options, process.stdout)),
    err: pc.createColors(wantsColour(options, process.stderr)),
    closed: closed.signal,
    data(text) {
      if (!options.json) write(process.stdout, `${text}\n`);
    },
    value(value) {
      if (options.json) write(process.stdout, `${JSON.stringify(value)}\n`);
    },
    note(text) {
      if (!hushed) write(process.stderr, `${harmless(text)}\n`);
    },
    alarm: (text) => write(process.stderr, `${harmless(text)}\n`),
    command(line) {
      if (ci) write(process.stderr, `${line}\n`);
    },
    raw: (text) => write(process.stderr, text),
  };
}

/** https://no-color.org: any value but the empty one switches colour off. */
function wantsColour(options: ScreenOptions, stream: NodeJS.WriteStream): boolean {
  if (!options.color || process.env['NO_COLOR']) return false;
  if (process.env['FORCE_COLOR'] && process.env['FORCE_COLOR'] !== '0') return true;
  return stream.isTTY === true && process.env['TERM'] !== 'dumb';
}

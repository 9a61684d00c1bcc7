import { formatDuration } from '../../agent/protocol/duration.ts';
import { openCiGroup } from './ci.ts';
import { EDGE, type Screen } from './screen.ts';
import { clean, cut, leftRight, wrap } from './text.ts';

/** Where the summary of a step begins, columns. */
const SUMMARY = 13;
const TICK_MS = 100;

/** How a step ended, for its colour. */
export type Mark = 'done' | 'attention' | 'failed';

/**
 * The steps of something that takes time. On a terminal the current step is one moving line; in a
 * file each step is one line, once it has ended.
 */
export interface Progress {
  /** A step begins; its line moves until `done`. */
  begin(verb: string, summary?: string): void;
  /** What the running step does now. */
  update(summary: string): void;
  /** The step that runs, or one that was never seen to begin, has ended. */
  done(verb: string, summary: string, ms: number | null, mark?: Mark): void;
  /** A line that is no step. */
  line(text: string): void;
  /** Takes the moving line away for good. */
  clear(): void;
  /** Holds everything back while a question stands on the screen. */
  pause(): void;
  resume(): void;
}

export function openProgress(screen: Screen): Progress {
  let current: { verb: string; summary: string; since: number } | null = null;
  let timer: NodeJS.Timeout | undefined;
  let held: string[] | null = null;
  const group = screen.ci && !screen.quiet ? openCiGroup(screen.ci, screen.command) : null;

  function paint() {
    if (!screen.live || held || !current) return;
    const room = Math.min(EDGE, screen.columns - 1);
    const elapsed = formatDuration(Date.now() - current.since);
    const text = cut(head(current.verb) + clean(current.summary), room - elapsed.length - 2);
    screen.raw(`${ERASE}${leftRight(text, elapsed, room)}`);
    timer ??= setInterval(paint, TICK_MS);
  }
  function erase() {
    clearInterval(timer);
    timer = undefined;
    if (screen.live && !held && current) screen.raw(ERASE);
  }
  function print(text: string) {
    if (held) held.push(text);
    else screen.note(text);
  }

  return {
    begin(verb, summary = '') {
      erase();
      current = { verb, summary, since: Date.now() };
      paint();
    },
    update(summary) {
      if (!current) return;
      current.summary = summary;
      group?.say(current.verb, clean(summary));
      paint();
    },
    done(verb, summary, ms, mark = 'done') {
      erase();
      current = null;
      group?.end();
      print(stepLine(screen, verb, summary, ms, mark));
    },
    line(text) {
      erase();
      group?.end();
      print(text);
      paint();
    },
    clear() {
      erase();
      current = null;
      group?.end();
    },
    pause() {
      erase();
      held ??= [];
    },
    resume() {
      const lines = held ?? [];
      held = null;
      for (const line of lines) screen.note(line);
      paint();
    },
  };
}

const ERASE = '\r\u001b[2K';

/** `  probe      web.1 200 in 12 ms        0.6s`, longer summaries on further lines. */
export function stepLine(
  screen: Screen,
  verb: string,
  summary: string,
  ms: number | null,
  mark: Mark,
): string {
  const elapsed = ms === null ? '' : formatDuration(ms);
  const lines = wrap(clean(summary), EDGE - SUMMARY - elapsed.length - 2);
  const text = leftRight(head(verb) + (lines[0] ?? ''), elapsed, EDGE).trimEnd();
  const rest = lines.slice(1).map((line) => ' '.repeat(SUMMARY) + line);
  const { green, yellow, red } = screen.err;
  const paint = { done: green, attention: yellow, failed: red }[mark];
  return [text.replace(verb, paint(verb)), ...rest].join('\n');
}

function head(verb: string): string {
  return `  ${verb.padEnd(SUMMARY - 3)} `;
}

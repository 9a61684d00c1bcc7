import type { LogLine } from '../../agent/protocol/api.ts';
import { UsageError } from '../usage-error.ts';

/** From the least to the worst. */
export const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type Level = (typeof LEVELS)[number];

/** What `--level` asks for. */
export interface LevelWish {
  /** This one and worse. */
  readonly least: Level;
  /** Lines that say no level as well. */
  readonly unknown: boolean;
}

/**
 * `warn`, or `warn,unknown`.
 * @throws UsageError for any other word
 */
export function readLevelWish(typed: string): LevelWish {
  const words = typed.split(',').map((word) => word.trim().toLowerCase());
  const named = words.filter((word) => word !== 'unknown');
  const [word = 'trace'] = named;
  const least = levelOfWord(word);
  if (named.length > 1 || least === null) {
    throw new UsageError(
      `--level: expected ${LEVELS.join(', ')}, with ",unknown" for lines that say none, got "${typed}"`,
      ['zdd-agent logs --help'],
    );
  }
  return { least, unknown: words.includes('unknown') };
}

export function isWanted(level: Level | null, { least, unknown }: LevelWish): boolean {
  if (level === null) return unknown;
  return LEVELS.indexOf(level) >= LEVELS.indexOf(least);
}

/** The words that logging libraries use. */
const WORDS: Readonly<Record<string, Level>> = {
  trace: 'trace',
  verbose: 'trace',
  silly: 'trace',
  debug: 'debug',
  info: 'info',
  information: 'info',
  notice: 'info',
  log: 'info',
  warn: 'warn',
  warning: 'warn',
  error: 'error',
  err: 'error',
  severe: 'error',
  fatal: 'fatal',
  critical: 'fatal',
  crit: 'fatal',
  alert: 'fatal',
  emerg: 'fatal',
  emergency: 'fatal',
  panic: 'fatal',
};

function levelOfWord(word: string): Level | null {
  const lower = word.toLowerCase();
  return Object.hasOwn(WORDS, lower) ? (WORDS[lower] ?? null) : null;
}

/** syslog(3), from the worst. */
const PRIORITIES: readonly Level[] = [
  'fatal',
  'fatal',
  'fatal',
  'error',
  'warn',
  'info',
  'info',
  'debug',
];

/** What a line itself says: by JSON, by `<3>`, by `level=warn`, or by a word at its beginning. */
export function levelOfText(text: string): Level | null {
  const prefix = /^<([0-7])>/.exec(text)?.[1];
  if (prefix !== undefined) return PRIORITIES[Number(prefix)] ?? null;
  if (text.startsWith('{')) return levelOfJson(text);
  const field = /(?:^|\s)(?:level|lvl|severity)=["']?([a-z]+)/i.exec(text)?.[1];
  if (field !== undefined) return levelOfWord(field);
  return levelOfBeginning(text);
}

/** Keys of pino, bunyan, winston, zap, structlog, ECS, Google Cloud and Python's formatters. */
const KEYS = ['level', 'severity', 'lvl', 'log.level', 'levelname', 'loglevel', '@l'];

function levelOfJson(text: string): Level | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const fields = new Map<string, unknown>(Object.entries(value));
  const nested = fields.get('log');
  if (typeof nested === 'object' && nested !== null && 'level' in nested) {
    fields.set('log.level', nested.level);
  }
  for (const key of KEYS) {
    const found = fields.get(key);
    if (typeof found === 'string') return levelOfWord(found);
    if (typeof found === 'number') return levelOfNumber(found);
  }
  return null;
}

/** As pino and bunyan count: ten a level. */
function levelOfNumber(number: number): Level {
  return LEVELS[Math.min(Math.max(Math.floor(number / 10) - 1, 0), LEVELS.length - 1)] ?? 'info';
}

/** Letters of Ruby's Logger and of glog. */
const LETTERS: Readonly<Record<string, Level>> = {
  D: 'debug',
  I: 'info',
  W: 'warn',
  E: 'error',
  F: 'fatal',
};
/** How far into a line its level stands, after times, names and numbers. */
const BEGINNING = 60;

function levelOfBeginning(text: string): Level | null {
  const letter = /^([DIWEF])(?:, \[|\d{4} )/.exec(text)?.[1];
  if (letter !== undefined) return LETTERS[letter] ?? null;
  const start = text.slice(0, BEGINNING);
  // In capitals or in brackets it is a level; in small letters it may be a word like any other.
  const marked = start.matchAll(/(?:^|[\s\d[(|:.-])([A-Z]{3,11})(?=[\s:\])|,-]|$)/g);
  for (const [, word = ''] of marked) {
    const level = levelOfWord(word);
    if (level !== null) return level;
  }
  const bracketed =
    /[[(<]([a-z]{3,11})[\])>]/i.exec(start)?.[1] ?? /^([a-z]{3,11}): /i.exec(start)?.[1];
  if (bracketed !== undefined) {
    const level = levelOfWord(bracketed);
    if (level !== null) return level;
  }
  // `TypeError: x is not a function`, as a runtime prints what nobody caught.
  return /^(?:Uncaught )?[A-Z]\w*(?:Error|Exception)\b/.test(start) ? 'error' : null;
}

/**
 * The level of one line after the other. What is indented below a line, such as a stack trace,
 * belongs to it.
 */
export function levelReader(): (line: LogLine) => Level | null {
  const last = new Map<string, Level | null>();
  return ({ slot, stream, priority, text }) => {
    const from = `${slot} ${stream}`;
    const before = last.get(from) ?? null;
    const own = (priority === undefined ? null : PRIORITIES[priority]) ?? levelOfText(text) ?? null;
    const level = own ?? (/^\s+\S/.test(text) ? before : null);
    last.set(from, level);
    return level;
  };
}

import { matchesPatterns } from '../patterns.ts';
import type { ConfigLine } from './lines.ts';

/** What sections are asked about. */
export interface Asked {
  /** As typed: what `Host` compares. */
  readonly original: string;
  /** The user that was typed; `Match user` sees the one of the file as well. */
  readonly user: string | undefined;
  readonly localUser: string;
}

/** Keyword in lower case to its values; one value each, more only where ssh adds them up. */
export type Settings = ReadonlyMap<string, readonly string[]>;

const ADDED_UP: ReadonlySet<string> = new Set(['identityfile', 'certificatefile']);

/**
 * The settings that hold for a host: the first value found counts (ssh_config(5)). Sections with
 * criteria that this CLI does not know (`Match exec`, `localnetwork`, `final`) hold for nobody.
 */
export function evaluate(lines: readonly ConfigLine[], asked: Asked): Settings {
  const settings = new Map<string, string[]>();
  walk(lines);
  return settings;

  function walk(inner: readonly ConfigLine[]): void {
    for (const line of inner) {
      switch (line.kind) {
        case 'setting':
          take(line.keyword, line.words);
          break;
        case 'include':
          walk(line.lines);
          break;
        case 'host':
          if (matchesPatterns(line.words, asked.original)) walk(line.lines);
          break;
        case 'match':
          if (holds(line.words)) walk(line.lines);
          break;
      }
    }
  }

  function take(keyword: string, words: readonly string[]): void {
    const known = settings.get(keyword);
    if (known === undefined) settings.set(keyword, [...words]);
    else if (ADDED_UP.has(keyword)) known.push(...words);
  }

  function holds(words: readonly string[]): boolean {
    for (let at = 0; at < words.length; ) {
      const word = (words[at] ?? '').toLowerCase();
      const negated = word.startsWith('!');
      const criterion = negated ? word.slice(1) : word;
      at += 1;
      if (criterion === 'all') {
        if (negated) return false;
        continue;
      }
      const patterns = (words[at] ?? '').split(',');
      at += 1;
      const value = present(criterion);
      if (value === undefined || matchesPatterns(patterns, value) === negated) return false;
    }
    return words.length > 0;
  }

  function present(criterion: string): string | undefined {
    switch (criterion) {
      case 'host':
        return settings.get('hostname')?.[0]?.replaceAll('%h', asked.original) ?? asked.original;
      case 'originalhost':
        return asked.original;
      case 'user':
        return asked.user ?? settings.get('user')?.[0] ?? asked.localUser;
      case 'localuser':
        return asked.localUser;
      default:
        return undefined;
    }
  }
}

import { SECTIONS } from './read.ts';

const OPTION = 'idle-close-on-response';

interface Section {
  readonly kind: string;
  readonly name: string;
  readonly lines: readonly (readonly string[])[];
}

/**
 * The HTTP frontends of a file (`listen` sections too) that lack `option idle-close-on-response`:
 * never the agent's own, which has it. Their old worker closes an idle client's connection at a reload, which
 * may be the very moment in which that client sends its next request: measured on 2.6.12, 46 of
 * 164,959 requests were lost over 20 reloads without the option, none of 153,252 with it. Who says
 * `no option` has decided, and is not named.
 */
export function frontendsThatCut(text: string): readonly string[] {
  const defaults = new Map<string, Section>();
  let last: Section | undefined;
  const names: string[] = [];
  for (const section of sectionsOf(text)) {
    if (section.kind === 'defaults') {
      last = inherit(section, from(section, defaults));
      if (section.name !== '') defaults.set(section.name, last);
    } else if (section.kind === 'frontend' || section.kind === 'listen') {
      const { lines } = inherit(section, from(section, defaults) ?? last);
      if (isHttp(lines) && !decides(lines)) names.push(section.name);
    }
  }
  return names;
}

function from({ lines: [head = []] }: Section, named: ReadonlyMap<string, Section>) {
  const at = head.indexOf('from');
  return at < 0 ? undefined : named.get(head[at + 1] ?? '');
}

/** What holds in a section: what it inherits first, since the last word counts. */
function inherit(section: Section, defaults: Section | undefined): Section {
  return { ...section, lines: [...(defaults?.lines ?? []), ...section.lines] };
}

function isHttp(lines: Section['lines']): boolean {
  return lines.findLast(([first]) => first === 'mode')?.[1] === 'http';
}

function decides(lines: Section['lines']): boolean {
  return lines.some((words) => words.includes(OPTION) && words.includes('option'));
}

/** The sections of a file in words, without comments; the first line of each is its head. */
function sectionsOf(text: string): readonly Section[] {
  const sections: { kind: string; name: string; lines: string[][] }[] = [];
  for (const raw of text.split('\n')) {
    const words = raw
      .replace(/#.*/, '')
      .trim()
      .split(/\s+/)
      .filter((word) => word !== '');
    const [first, name = ''] = words;
    if (first === undefined) continue;
    // HAProxy itself tells a section by its first word, wherever the line begins.
    if (SECTIONS.has(first)) sections.push({ kind: first, name: named(name), lines: [words] });
    else sections.at(-1)?.lines.push(words);
  }
  return sections;
}

/** `defaults from base` has no name. */
function named(word: string): string {
  return word === 'from' ? '' : word;
}

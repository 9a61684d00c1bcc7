import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
} from 'yaml';
import { type AppConfig, appConfig } from './app-config.ts';
import { ZddError } from './errors.ts';
import { crossFieldProblems, type Problem, problemsOf } from './zdd-yaml-problems.ts';

/** The parser takes quadratic time for large maps: at this length, well under a second. */
const MAX_CHARACTERS = 64 * 1024;
/** How much may be made of aliases: beyond this a few lines can stand for gigabytes. */
const MAX_ALIASES = 100;
const MAX_SHOWN = 50;

interface Located {
  readonly offset: number;
  readonly text: string;
}

/**
 * Reads and checks a `zdd.yaml`.
 * @param fileName how problems name it
 * @throws ZDD_CONFIG_INVALID with every problem at once, each an evidence row of its place
 * (`zdd.yaml:9:5`) and what is wrong there
 */
export function parseAppConfig(text: string, fileName = 'zdd.yaml'): AppConfig {
  const lines = new LineCounter();
  const fail = (problems: readonly Located[]): never => {
    throw invalid(fileName, lines, problems);
  };
  if (text.length > MAX_CHARACTERS) {
    return fail([{ offset: 0, text: `the file is longer than ${MAX_CHARACTERS} characters` }]);
  }
  const document = documentOf(text, lines);
  if (document === null)
    return fail([{ offset: 0, text: 'its maps and lists are nested too deeply' }]);
  const faults = [...document.errors, ...document.warnings].map(({ code, message, pos }) => ({
    offset: pos[0],
    text: yamlFault(code, message),
    // With a key given twice the rest still makes sense, and is checked as well.
    fatal: code !== 'DUPLICATE_KEY',
  }));
  if (faults.some(({ fatal }) => fatal)) return fail(firstAtEachPlace(faults));
  const value = plainValueOf(document);
  if (!value.ok) return fail([...faults, { offset: 0, text: value.why }]);
  if (value.value === null || value.value === undefined) {
    return fail([{ offset: 0, text: 'the file is empty: it needs at least app and processes' }]);
  }
  const checked = appConfig.safeParse(value.value, { error: () => '' });
  if (checked.success && faults.length === 0) return checked.data;
  const problems = checked.success ? [] : problemsOf(checked.error.issues, value.value);
  const all = [...problems, ...crossFieldProblems(problems, value.value)];
  return fail([
    ...faults,
    ...all.map((problem) => ({ offset: offsetOf(document, problem), text: problem.text })),
  ]);
}

function documentOf(text: string, lines: LineCounter): Document.Parsed | null {
  try {
    return parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
  } catch (error) {
    // The parser recurses: a hostile nesting ends its stack, not ours.
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function plainValueOf(
  document: Document.Parsed,
): { ok: true; value: unknown } | { ok: false; why: string } {
  try {
    return { ok: true, value: document.toJS({ maxAliasCount: MAX_ALIASES }) };
  } catch (error) {
    if (error instanceof ReferenceError) {
      const excessive = error.message.startsWith('Excessive');
      return { ok: false, why: excessive ? 'it repeats too much through aliases' : error.message };
    }
    if (error instanceof RangeError)
      return { ok: false, why: 'its maps and lists are nested too deeply' };
    throw error;
  }
}

function yamlFault(code: string, message: string): string {
  switch (code) {
    case 'DUPLICATE_KEY':
      return 'this key is there twice';
    case 'TAB_AS_INDENT':
      return 'a tab: YAML is indented with spaces';
    case 'MULTIPLE_DOCS':
      return 'a second document begins here: one is expected';
    default:
      // The parser catches the end of its own stack and reports it like a fault of the text.
      if (message.includes('call stack')) return 'its maps and lists are nested too deeply';
      return `not valid YAML: ${message}`;
  }
}

/** One slip of the pen makes the parser miss the ends of everything around it: the first one tells. */
function firstAtEachPlace(faults: readonly Located[]): Located[] {
  const places = new Set<number>();
  return faults.filter(({ offset }) => !places.has(offset) && places.add(offset));
}

/** Where a problem is: its key, else the nearest thing above it that is in the file. */
function offsetOf(document: Document.Parsed, { path, key }: Problem): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const segment of key === undefined ? path : [...path, key]) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((item) => nameOf(item.key) === String(segment));
      if (pair === undefined) break;
      offset = startOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(segment)];
      offset = startOf(node) ?? offset;
    } else {
      break;
    }
  }
  return offset;
}

function nameOf(key: unknown): string {
  return isScalar(key) ? String(key.value) : String(key);
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}

function invalid(fileName: string, lines: LineCounter, problems: readonly Located[]): ZddError {
  const ordered = problems.toSorted((a, b) => a.offset - b.offset);
  const evidence = ordered.slice(0, MAX_SHOWN).map(({ offset, text }): [string, string] => {
    // Before the first character is counted, and in an empty file, there is no line 0.
    const { line, col } =
      lines.lineStarts.length === 0 ? { line: 1, col: 1 } : lines.linePos(offset);
    return [`${fileName}:${Math.max(1, line)}:${Math.max(1, col)}`, text];
  });
  if (ordered.length > MAX_SHOWN) evidence.push(['', `and ${ordered.length - MAX_SHOWN} more`]);
  const count = ordered.length === 1 ? '1 problem' : `${ordered.length} problems`;
  return new ZddError('ZDD_CONFIG_INVALID', `${fileName} has ${count}`, {
    evidence,
    tries: ['zdd-agent config check'],
  });
}

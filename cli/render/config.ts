import { stringify } from 'yaml';
import type { Path, Written } from '../config/written.ts';
import type { Screen } from './screen.ts';

/** One value of a configuration, and where it stands in it. */
export interface Leaf {
  readonly path: Path;
  readonly value: Written;
}

/** What a line says beside its value; null where nothing is said. */
export type Told = ((path: Path, value: Written) => string) | null;

/** Everything that has no further values in it: a text, a number, a list of such, an empty map. */
export function leavesOf(value: Written, path: Path = []): Leaf[] {
  if (isLeaf(value)) return [{ path, value }];
  return Object.entries(value).flatMap(([key, inner]) =>
    leavesOf(inner, [...path, Array.isArray(value) ? Number(key) : key]),
  );
}

/** The configuration as YAML, in the order of its schema. */
export function configLines(screen: Screen, config: Written, told: Told): string[] {
  const lines = linesOf(config, [], '', told);
  const width = Math.max(...lines.map(({ code, note }) => (note === '' ? 0 : code.length)));
  return lines.map(({ code, note }) =>
    note === '' ? code : `${code.padEnd(width)}  ${screen.out.dim(`# ${note}`)}`,
  );
}

interface Line {
  readonly code: string;
  readonly note: string;
}

function linesOf(value: Written, path: Path, indent: string, told: Told): Line[] {
  if (Array.isArray(value)) {
    return value.flatMap((each, index) => {
      const inner = linesOf(each, [...path, index], `${indent}  `, told);
      const [first, ...rest] = inner;
      if (first === undefined) return [];
      return [{ ...first, code: `${indent}- ${first.code.slice(indent.length + 2)}` }, ...rest];
    });
  }
  if (typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([key, inner]): Line[] => {
    const at = [...path, key];
    if (isLeaf(inner)) {
      return [{ code: `${indent}${key}: ${onOneLine(inner)}`, note: told?.(at, inner) ?? '' }];
    }
    return [{ code: `${indent}${key}:`, note: '' }, ...linesOf(inner, at, `${indent}  `, told)];
  });
}

function isLeaf(value: Written): value is string | number | boolean | Written[] {
  if (Array.isArray(value)) return value.every((each) => typeof each !== 'object');
  return typeof value !== 'object' || Object.keys(value).length === 0;
}

/** A text with line ends is quoted: the place for its origin is beside it. */
function onOneLine(value: Written): string {
  if (Array.isArray(value)) return `[${value.map(onOneLine).join(', ')}]`;
  if (typeof value === 'string') {
    const plain = /^[\w./@$-][\w ./@$=+%-]*$/.test(value) && !value.endsWith(' ');
    // Where YAML would read a number, a date or nothing, `stringify` quotes.
    return plain ? stringify(value, { lineWidth: 0 }).trimEnd() : JSON.stringify(value);
  }
  return typeof value === 'object' ? '{}' : String(value);
}

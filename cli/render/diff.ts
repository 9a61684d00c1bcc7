/** Above this many lines that differ, they are no longer set side by side. */
const LONGEST = 2_000;

/** One line of a difference: `+` came, `-` went, ` ` stayed. */
export type DiffLine = `${'+' | '-' | ' '}${string}`;

/**
 * What differs between two texts, line by line, each with one line that stayed before and after it.
 * Empty for equal texts.
 */
export function lineDiff(before: string, after: string): DiffLine[] {
  return withNeighbours(allLines(linesOf(before), linesOf(after)));
}

function linesOf(text: string): string[] {
  return text.replace(/\n$/, '').split('\n');
}

function allLines(before: readonly string[], after: readonly string[]): DiffLine[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) {
    start += 1;
  }
  let end = 0;
  const most = Math.min(before.length, after.length) - start;
  while (end < most && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const kept = (line: string): DiffLine => ` ${line}`;
  return [
    ...before.slice(0, start).map(kept),
    ...middle(before.slice(start, before.length - end), after.slice(start, after.length - end)),
    ...before.slice(before.length - end).map(kept),
  ];
}

/** By the longest common subsequence. */
function middle(before: readonly string[], after: readonly string[]): DiffLine[] {
  const gone = (line: string): DiffLine => `-${line}`;
  const came = (line: string): DiffLine => `+${line}`;
  if (Math.max(before.length, after.length) > LONGEST) {
    return [...before.map(gone), ...after.map(came)];
  }
  const width = after.length + 1;
  const common = new Uint16Array((before.length + 1) * width);
  const at = (row: number, column: number): number => common[row * width + column] ?? 0;
  for (let row = before.length - 1; row >= 0; row -= 1) {
    for (let column = after.length - 1; column >= 0; column -= 1) {
      common[row * width + column] =
        before[row] === after[column]
          ? at(row + 1, column + 1) + 1
          : Math.max(at(row + 1, column), at(row, column + 1));
    }
  }
  const lines: DiffLine[] = [];
  let row = 0;
  let column = 0;
  while (row < before.length || column < after.length) {
    const old = before[row];
    const now = after[column];
    if (old !== undefined && old === now) {
      lines.push(` ${old}`);
      row += 1;
      column += 1;
    } else if (
      old !== undefined &&
      (now === undefined || at(row + 1, column) >= at(row, column + 1))
    ) {
      lines.push(gone(old));
      row += 1;
    } else {
      lines.push(came(now ?? ''));
      column += 1;
    }
  }
  return lines;
}

function withNeighbours(lines: readonly DiffLine[]): DiffLine[] {
  const differs = (at: number): boolean => lines[at] !== undefined && !lines[at].startsWith(' ');
  return lines.filter((_, at) => differs(at - 1) || differs(at) || differs(at + 1));
}

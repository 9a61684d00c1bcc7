import { stripVTControlCharacters } from 'node:util';

/**
 * Text that came from an app or a file, made safe for a terminal: no escape sequences, no control
 * characters but the newline; tabs become spaces so that columns can be counted.
 */
export function clean(text: string): string {
  return stripVTControlCharacters(text)
    .replaceAll('\t', '  ')
    .replaceAll(/(?!\n)[\p{Cc}\p{Bidi_Control}]/gu, '');
}

/** Breaks at spaces so that no line is longer than `width`; a longer word stays whole. */
export function wrap(text: string, width: number): string[] {
  return text.split('\n').flatMap((line) => wrapLine(line, width));
}

function wrapLine(line: string, width: number): string[] {
  if (line.length <= width) return [line];
  const lines: string[] = [];
  // The indentation of output such as a stack trace is part of its sense.
  let current = /^ */.exec(line)?.[0] ?? '';
  let empty = true;
  for (const word of line.trimStart().split(' ')) {
    if (!empty && current.length + 1 + word.length > width) {
      lines.push(current);
      current = word;
    } else {
      current += empty ? word : ` ${word}`;
    }
    empty = false;
  }
  lines.push(current);
  return lines;
}

/** `left` and, at the right edge, `right`; on a line of its own when both do not fit. */
export function leftRight(left: string, right: string, edge: number): string {
  if (right === '') return left;
  const gap = edge - left.length - right.length;
  return gap >= 2 ? left + ' '.repeat(gap) + right : `${left}\n${right.padStart(edge)}`;
}

/** Cut to `width`, with a sign that it was. */
export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/**
 * Columns as wide as their widest cell, no line ends in spaces.
 * @param paint colours a cell after its width is known: `(text, column, row)`.
 * @param gap spaces between two columns
 */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  paint: (text: string, column: number, row: number) => string = (text) => text,
  gap = 3,
): string[] {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[], row: number) =>
    cells
      .map((cell, column) => {
        const last = column === cells.length - 1;
        const space = last ? '' : ' '.repeat((widths[column] ?? 0) - cell.length + gap);
        return (row < 0 ? cell : paint(cell, column, row)) + space;
      })
      .join('')
      .trimEnd();
  return [line(head, -1), ...rows.map((row, index) => line(row, index))];
}

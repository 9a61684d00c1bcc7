import type { ErrorBody } from '../../agent/protocol/errors.ts';
import { EDGE, type Screen } from './screen.ts';
import { clean, leftRight, wrap } from './text.ts';

const LABEL = 12;
const LONGEST_LABEL = 28;

/**
 * What failed and its code; evidence; where traffic is; what to type. On stderr for people; with
 * `--json` also the last line of stdout, unless the caller has ended its stream with a receipt.
 */
export function showError(screen: Screen, body: ErrorBody, options: { onStdout: boolean }): void {
  const { red, bold } = screen.err;
  const message = wrap(`Error: ${clean(body.message)}`, EDGE);
  const first = message.length > 1 ? message.join('\n       ') : (message[0] ?? '');
  const codeFits = first.length + 2 + body.code.length <= EDGE && message.length === 1;
  const head = codeFits
    ? leftRight(first, body.code, EDGE)
    : `${first}\n${body.code.padStart(EDGE)}`;
  const lines = [red(bold('Error:')) + head.slice('Error:'.length)];
  lines.push(...rows(evidenceOf(body)));
  body.tries.forEach((command, index) => {
    lines.push(`${index === 0 ? 'Try: ' : '     '}${clean(command)}`);
  });
  screen.alarm(lines.join('\n'));
  for (const line of screen.ci?.annotations(body) ?? []) screen.command(line);
  if (options.onStdout) screen.value({ error: body });
}

function evidenceOf(body: ErrorBody): [string, string][] {
  const rows: [string, string][] = [...body.evidence];
  if (body.traffic !== undefined) rows.push(['traffic', body.traffic]);
  return rows;
}

/** Labels with their texts, in one column; also used for receipts and plans. */
export function rows(pairs: readonly (readonly [label: string, text: string])[]): string[] {
  const cleaned = pairs.map(([label, text]) => [clean(label), clean(text)] as const);
  const longest = Math.max(...cleaned.map(([label]) => label.length).filter(fits), LABEL);
  const indent = 2 + longest + 2;
  return cleaned.flatMap(([label, text]) => {
    const lines = wrap(text, EDGE - indent).map((line) => ' '.repeat(indent) + line);
    const [first = ''] = lines;
    // A label too long for the column, such as a deep path, has a line of its own.
    if (!fits(label.length)) return [`  ${label}`, ...lines];
    return [`  ${label.padEnd(indent - 2)}${first.slice(indent)}`.trimEnd(), ...lines.slice(1)];
  });
}

function fits(length: number): boolean {
  return length <= LONGEST_LABEL;
}

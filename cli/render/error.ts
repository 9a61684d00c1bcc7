import type { ErrorBody } from '../../agent/protocol/errors.ts';
import { EDGE, type Screen } from './screen.ts';
import { clean, leftRight, wrap } from './text.ts';

const LABEL = 12;

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
  for (const [label, text] of evidenceOf(body)) lines.push(...row(label, text));
  body.tries.forEach((command, index) => {
    lines.push(`${index === 0 ? 'Try: ' : '     '}${clean(command)}`);
  });
  screen.alarm(lines.join('\n'));
  if (options.onStdout) screen.value({ error: body });
}

function evidenceOf(body: ErrorBody): [string, string][] {
  const rows: [string, string][] = [...body.evidence];
  if (body.traffic !== undefined) rows.push(['traffic', body.traffic]);
  return rows;
}

/** One label with its text; also used where a receipt is shown. */
export function row(label: string, text: string): string[] {
  const name = clean(label);
  const indent = 2 + Math.max(LABEL, name.length) + 2;
  return wrap(clean(text), EDGE - indent).map(
    (line, index) => `  ${(index === 0 ? name : '').padEnd(indent - 2)}${line}`.trimEnd(),
  );
}

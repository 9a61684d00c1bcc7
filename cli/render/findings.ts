import type { DoctorReply, Finding } from '../../agent/protocol/api.ts';
import { EDGE, type Screen } from './screen.ts';
import { clean, wrap } from './text.ts';

const LEVEL = 9;

/** What the doctor found, one finding after the other, the commands that mend it below. */
export function doctorLines(screen: Screen, reply: DoctorReply): string[] {
  return reply.findings.flatMap((finding) => findingLines(screen, finding, finding.level));
}

/** @param label stands before the finding; empty inside a section that says it all. */
export function findingLines(
  screen: Screen,
  finding: Finding,
  label: string,
  edge = EDGE,
): string[] {
  const { green, yellow, red } = screen.out;
  const paint = {
    ok: green,
    notice: (text: string) => text,
    warning: yellow,
    error: red,
  }[finding.level];
  const indent = label === '' ? 2 : LEVEL;
  const text = wrap(clean(finding.what), edge - indent).map((line, index) =>
    index === 0 ? paint(label.padEnd(indent)) + line : ' '.repeat(indent) + line,
  );
  const tries = finding.tries.map(
    (command, index) => `${' '.repeat(indent)}${index === 0 ? 'Try: ' : '     '}${clean(command)}`,
  );
  return [...text, ...tries];
}

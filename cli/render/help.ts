import type { Command } from '../command.ts';

/** What a bare `zdd-agent` shows: one screen, examples first. */
export function overview(commands: readonly Command[]): string {
  const verbs = commands.map(({ name, summary }) => `  ${name.padEnd(14)}${summary}`);
  return [
    'zdd-agent: deploys without a lost request',
    '',
    '  zdd-agent push                 send this folder and make it live',
    '  zdd-agent status               what serves now',
    '  zdd-agent rollback             back to the release before',
    '  zdd-agent logs -f              what the app prints',
    '',
    ...verbs,
    '',
    'Every verb: --app NAME  --socket PATH  --json  --quiet  --no-color  --help',
    'More: zdd-agent VERB --help',
  ].join('\n');
}

/** Examples stand before everything else in the help of a verb. */
export function examplesOf(command: Command): string {
  const width = Math.max(...command.examples.map(([line]) => line.length));
  const lines = command.examples.map(([line, what]) => `  ${line.padEnd(width)}   ${what}`);
  return `Examples:\n${lines.join('\n')}\n`;
}

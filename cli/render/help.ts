import type { Command } from '../command.ts';

/** What a bare `zdd-agent` shows: one screen, examples first. */
export function overview(commands: readonly Command[]): string {
  const verbs = commands
    .filter(({ aside, beside }) => !aside && beside === undefined)
    .flatMap((command) => verbLine(command, commands));
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
    `Also: ${others(commands).join(', ')}`,
    'Every verb: --app NAME  --host USER@HOST  -e ENVIRONMENT  --json  --help',
    'More: zdd-agent VERB --help      Completion by Tab: zdd-agent completion --help',
  ].join('\n');
}

/** Names of verbs and groups that are for seldom; what completion and schemas ask for is for machines. */
function others(commands: readonly Command[]): string[] {
  const machines = new Set(['complete', 'completion', 'schema']);
  const names = commands
    .filter(({ aside }) => aside === true)
    .map(({ name }) => name.split(' ')[0] ?? name)
    .filter((name) => !machines.has(name));
  return [...new Set(names)];
}

/** One line a verb; of a group such as `config` one line for all its verbs. */
function verbLine({ name, summary }: Command, commands: readonly Command[]): string[] {
  const [group, verb] = name.split(' ');
  const line = (others: readonly string[]): string[] => [
    `  ${name.padEnd(14)}${summary}${others.length === 0 ? '' : `; also ${others.join(', ')}`}`,
  ];
  if (verb === undefined) {
    return line(commands.filter(({ beside }) => beside === name).map((other) => other.name));
  }
  const same = commands.filter((other) => other.name.startsWith(`${group} `));
  if (same[0]?.name !== name) return [];
  return line(same.slice(1).map((other) => other.name.slice(name.length - verb.length)));
}

/** Examples stand before everything else in the help of a verb. */
export function examplesOf(command: Command): string {
  const width = Math.max(...command.examples.map(([line]) => line.length));
  const lines = command.examples.map(([line, what]) => `  ${line.padEnd(width)}   ${what}`);
  return `Examples:\n${lines.join('\n')}\n`;
}

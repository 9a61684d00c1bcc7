import type { Command } from '../command.ts';
import type { Input } from '../input.ts';
import type { LogsWish } from '../read/logs.ts';

export const logs: Command = {
  name: 'logs',
  summary: 'what the instances print',
  description:
    'Prints what the instances of an app wrote, with time, release and instance before each line; "!" marks stderr. Several hosts come as one, each with its name and colour. A level is what a line itself says: in JSON (level, severity), by a prefix such as <3>, by level=warn, or by a word such as ERROR at its beginning.',
  examples: [
    ['zdd-agent logs -f', 'follow all instances, on all hosts'],
    ['zdd-agent logs --release r43 --since 2m', 'one release, the last two minutes'],
    ['zdd-agent logs --process worker -n 500', 'one process type, 500 lines'],
    ['zdd-agent logs -f --level warn', 'warnings, errors and worse'],
  ],
  args: [],
  options: [
    { flags: '-f, --follow', description: 'wait for new lines; outlives restarts of the agent' },
    { flags: '--release <release>', description: 'only this release: r43 or r43-77e0d1a' },
    {
      flags: '--process <type>',
      description: 'only this process type, or several: web,worker',
    },
    {
      flags: '--level <level>',
      description:
        'only this level and worse: trace, debug, info, warn, error, fatal; ",unknown" adds lines that say none',
    },
    { flags: '-n, --lines <count>', description: 'how many lines of the past (default: 100)' },
    { flags: '--since <time>', description: 'only lines of this time, such as 2m' },
  ],
  async run(input, context) {
    const [wish, { printLogs }] = await Promise.all([wishOf(input), import('../read/logs.ts')]);
    return printLogs(context, wish);
  },
  async together(input, fleet) {
    const [wish, { printFleetLogs }] = await Promise.all([
      wishOf(input),
      import('../read/logs.ts'),
    ]);
    return printFleetLogs(fleet, wish);
  },
};

async function wishOf(input: Input): Promise<LogsWish> {
  const sinceMs = await input.duration('since');
  const level = input.text('level');
  const { readLevelWish } = await import('../read/level.ts');
  return {
    follow: input.flag('follow'),
    release: input.text('release'),
    processes: (input.text('process') ?? '').split(',').filter((each) => each !== ''),
    level: level === undefined ? undefined : readLevelWish(level),
    lines: input.count('lines', 0),
    sinceMs,
  };
}

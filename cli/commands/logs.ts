import type { Command } from '../command.ts';

export const logs: Command = {
  name: 'logs',
  summary: 'what the instances print',
  description:
    'Prints what the instances of an app wrote, with time, release and instance before each line; "!" marks stderr.',
  examples: [
    ['zdd-agent logs -f', 'follow all instances'],
    ['zdd-agent logs --release r43 --since 2m', 'one release, the last two minutes'],
    ['zdd-agent logs --process worker -n 500', 'one process type, 500 lines'],
  ],
  args: [],
  options: [
    { flags: '-f, --follow', description: 'wait for new lines; outlives restarts of the agent' },
    { flags: '--release <release>', description: 'only this release: r43 or r43-77e0d1a' },
    { flags: '--process <type>', description: 'only this process type' },
    { flags: '-n, --lines <count>', description: 'how many lines of the past (default: 100)' },
    { flags: '--since <time>', description: 'only lines of this time, such as 2m' },
  ],
  async run(input, context) {
    const since = await input.duration('since');
    const lines = input.count('lines', 0);
    const { printLogs } = await import('../read/logs.ts');
    return printLogs(context, {
      follow: input.flag('follow'),
      release: input.text('release'),
      process: input.text('process'),
      lines,
      sinceMs: since,
    });
  },
};

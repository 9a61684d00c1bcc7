import type { Command } from '../command.ts';

export const status: Command = {
  name: 'status',
  summary: 'what serves, where traffic is, what needs attention',
  description:
    'Shows every app of the host, or of all hosts of the environment in one table: the live release, its share of traffic, its instances, the release that is still warm, a deployment that runs now, and what needs attention.',
  examples: [
    ['zdd-agent status', 'this host, or all of the environment'],
    ['zdd-agent status -e staging', 'all hosts of one environment'],
    ['zdd-agent status shop --json', 'one app, for a script'],
  ],
  args: [{ name: '[APP]', description: 'only this app' }],
  options: [],
  async run(input, context) {
    const { printStatus } = await import('../read/status.ts');
    return printStatus(context, input.arg(0));
  },
  async together(input, fleet) {
    const { printFleetStatus } = await import('../read/status.ts');
    return printFleetStatus(fleet, input.arg(0));
  },
};

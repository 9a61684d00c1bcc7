import type { Command } from '../command.ts';

export const events: Command = {
  name: 'events',
  summary: 'every change, one a line',
  description:
    'Prints the journal: what changed, when, by whom. All apps, unless --app names one; several hosts as one story, in the order of time.',
  examples: [
    ['zdd-agent events -f', 'follow what happens from now on'],
    ['zdd-agent events --since 2h --app shop', 'the last two hours of one app'],
    ['zdd-agent events --since 1041 --json', 'everything after event 1041'],
  ],
  args: [],
  options: [
    { flags: '-f, --follow', description: 'wait for new events; outlives restarts of the agent' },
    { flags: '--since <when>', description: 'a time ago such as 2h, or the number of an event' },
  ],
  async run(input, context) {
    const { printEvents } = await import('../read/events.ts');
    return printEvents(context, input.text('since'), input.flag('follow'));
  },
  async together(input, fleet) {
    const { printFleetEvents } = await import('../read/events.ts');
    return printFleetEvents(fleet, input.text('since'));
  },
};

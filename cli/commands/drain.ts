import type { Command } from '../command.ts';

export const drain: Command = {
  name: 'drain',
  summary: 'watch old releases being left',
  description:
    'Shows which old releases still hold requests, WebSockets and streams, how fast those are closed and when the last of them will be, until nothing is left. It only looks: leaving it changes nothing.',
  examples: [
    ['zdd-agent drain', 'all apps of the host'],
    ['zdd-agent drain shop --json', 'one app, a line of JSON for each change'],
  ],
  args: [{ name: '[APP]', description: 'only this app' }],
  options: [],
  beside: 'status',
  endless: true,
  async run(input, context) {
    const { watchDrain } = await import('../watch/drain.ts');
    return watchDrain(context, input.arg(0));
  },
};

import type { Command } from '../command.ts';
import { AGAIN_OPTIONS, readAgain } from './again.ts';

export const start: Command = {
  name: 'start',
  summary: 'bring a stopped app back',
  description:
    'Starts the release that was stopped, probes it as any other, and gives it the traffic once it is healthy. If it is not, the app stays stopped.',
  examples: [['zdd-agent start', 'what "zdd-agent stop" has stopped']],
  args: [],
  options: AGAIN_OPTIONS,
  beside: 'restart',
  async run(input, context) {
    const { steer } = await import('../watch/steer.ts');
    const wish = await readAgain(input);
    return steer(context, { verb: 'start', wish, detach: input.flag('detach') });
  },
};

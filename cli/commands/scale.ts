import type { Command } from '../command.ts';
import { AGAIN_OPTIONS, readAgain } from './again.ts';

export const scale: Command = {
  name: 'scale',
  summary: 'more or fewer instances of a process type',
  description:
    'Sets how many instances of a process type run, in place of what zdd.yaml says: fresh instances in the new numbers take over as in a restart, and no request is lost. The numbers hold for later deploys, restarts and reboots, until "default" goes back to zdd.yaml. A number that is refused changes nothing.',
  examples: [
    ['zdd-agent scale web=3 worker=2', 'several at once'],
    ['zdd-agent scale worker=0', 'no worker for now'],
    ['zdd-agent scale web=default', 'what zdd.yaml says'],
  ],
  args: [{ name: '<PROCESS=N...>', description: 'process types with their numbers, or default' }],
  options: AGAIN_OPTIONS,
  beside: 'restart',
  async run(input, context) {
    const { readProcesses } = await import('../scale.ts');
    const processes = readProcesses(input.rest(0));
    const wish = { processes, ...(await readAgain(input)) };
    const { steer } = await import('../watch/steer.ts');
    return steer(context, { verb: 'scale', wish, detach: input.flag('detach') });
  },
};

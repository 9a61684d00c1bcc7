import type { Command } from '../command.ts';
import { AGAIN_OPTIONS, readAgain } from './again.ts';

export const restart: Command = {
  name: 'restart',
  summary: 'fresh instances of the live release',
  description:
    'Starts fresh instances of the live release, probes them, moves traffic over and lets the old ones finish: no request is lost. The release command is not run again. Changed environment values are picked up. Named process types are restarted alone: with web, the workers run on untouched; with workers, traffic stays where it is, and one that may overlap has its successor alive before it is stopped.',
  examples: [
    ['zdd-agent restart', 'the app of this folder, every process type'],
    ['zdd-agent restart worker', 'only the workers; web is not touched'],
    ['zdd-agent restart --bake 2m', 'and go back if the fresh ones do badly'],
  ],
  args: [{ name: '[PROCESS...]', description: 'process types to restart (all of them)' }],
  options: AGAIN_OPTIONS,
  async run(input, context) {
    const { steer } = await import('../watch/steer.ts');
    const processes = input.rest(0);
    const wish = { ...(await readAgain(input)), ...(processes.length > 0 ? { processes } : {}) };
    return steer(context, { verb: 'restart', wish, detach: input.flag('detach') });
  },
};

import type { Command } from '../command.ts';
import { RESTART_OPTIONS } from './env-set.ts';

export const envUnset: Command = {
  name: 'env unset',
  summary: 'forget variables of an app',
  description:
    'Forgets variables that the host keeps for an app; what zdd.yaml says counts again. What runs is left alone until a restart or the next deploy. A name that is not there is no error.',
  examples: [
    ['zdd-agent env unset OLD_TOKEN', 'one'],
    ['zdd-agent env unset A B --restart', 'several, in force at once'],
  ],
  args: [{ name: '<NAME...>', description: 'see: zdd-agent env list' }],
  options: RESTART_OPTIONS,
  async run(input, context) {
    const { unsetVariables } = await import('../env/change.ts');
    return unsetVariables(input, context);
  },
};

import type { Command } from '../command.ts';

export const envList: Command = {
  name: 'env list',
  summary: 'the variables the host keeps, without their values',
  description:
    'Lists the variables that the host keeps for an app: size, when and by whom changed, and whether the live release has them already. Values are shown with --show only, as a file that env import takes.',
  examples: [
    ['zdd-agent env list', 'names'],
    ['zdd-agent env list --show >shop.env', 'values too'],
  ],
  args: [],
  options: [{ flags: '--show', description: 'show the values' }],
  async run(input, context) {
    const { listVariables } = await import('../env/list.ts');
    return listVariables(context, input.flag('show'));
  },
};

import type { Command } from '../command.ts';

export const configCheck: Command = {
  name: 'config check',
  summary: 'read zdd.yaml and list every problem',
  description:
    'Checks a zdd.yaml as the agent will, without an agent: all problems at once, each with line and column.',
  examples: [
    ['zdd-agent config check', 'the nearest zdd.yaml upward'],
    ['zdd-agent config check deploy/zdd.yaml', 'a certain file'],
  ],
  args: [{ name: '[FILE]', description: 'default: the nearest zdd.yaml upward' }],
  options: [],
  async run(input, context) {
    const { checkConfig } = await import('../push/check.ts');
    return checkConfig(context, input.arg(0));
  },
};

import type { Command } from '../command.ts';

export const configShow: Command = {
  name: 'config show',
  summary: 'what zdd.yaml comes to, defaults included',
  description:
    'Prints the whole configuration that a zdd.yaml stands for, with every default filled in. What is printed is itself a valid zdd.yaml of the same meaning.',
  examples: [
    ['zdd-agent config show', 'the nearest zdd.yaml upward'],
    ['zdd-agent config show --origin', 'and which line each value comes from'],
  ],
  args: [{ name: '[FILE]', description: 'default: the nearest zdd.yaml upward' }],
  options: [{ flags: '--origin', description: 'beside each value its line, or "default"' }],
  async run(input, context) {
    const { showConfig } = await import('../config/show.ts');
    return showConfig(context, input.arg(0), input.flag('origin'));
  },
};

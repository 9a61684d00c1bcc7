import type { Command } from '../command.ts';

export const attach: Command = {
  name: 'attach',
  summary: 'watch a running deployment',
  description:
    'Shows a deployment from its beginning and follows it to its end, with the same lines and the same exit code as the push that started it.',
  examples: [
    ['zdd-agent attach', 'the one that runs now'],
    ['zdd-agent attach 57', 'a certain one, also after its end'],
  ],
  args: [{ name: '[ID]', description: 'number of the deployment; default: the running one' }],
  options: [],
  async run(input, context) {
    const { attachTo } = await import('../watch/attach.ts');
    return attachTo(context, input.arg(0));
  },
};

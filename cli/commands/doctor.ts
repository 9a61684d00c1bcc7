import type { Command } from '../command.ts';

export const doctor: Command = {
  name: 'doctor',
  summary: 'what is wrong with this host, and what mends it',
  description:
    'Lets the agent examine everything a deploy depends on: HAProxy, its file, disk, instances. Changes nothing. Ends with 22 when something is an error.',
  examples: [['zdd-agent doctor', 'before a deploy, or when status shows attention']],
  args: [],
  options: [],
  async run(_input, context) {
    const agent = await context.agent();
    const reply = await agent.doctor(context.interrupts.signal);
    const [{ doctorLines }, { EXIT }] = await Promise.all([
      import('../render/findings.ts'),
      import('../../agent/protocol/errors.ts'),
    ]);
    context.screen.value(reply);
    context.screen.data(doctorLines(context.screen, reply).join('\n'));
    return reply.findings.some(({ level }) => level === 'error') ? EXIT.needsHuman : EXIT.ok;
  },
};

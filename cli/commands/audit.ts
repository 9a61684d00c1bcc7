import type { Command } from '../command.ts';

export const audit: Command = {
  name: 'audit',
  summary: 'who did what, when, and how it ended',
  description:
    'Lists what people had the agent do, the refused too: when, which verb and what came of it; who, as the kernel and sshd know them (user, key), and, after "says", what the client claimed. All apps of the host, unless --app names one.',
  examples: [
    ['zdd-agent audit', 'the last 50'],
    ['zdd-agent audit --app shop --since 2d -n 200', 'two days of one app'],
  ],
  args: [],
  options: [
    { flags: '--since <time>', description: 'only the last 2h, 3d, ...' },
    { flags: '-n, --lines <count>', description: 'at most this many; default 50' },
  ],
  aside: true,
  async run(input, context) {
    const agent = await context.agent();
    const sinceMs = await input.duration('since');
    const { app } = context.globals;
    const reply = await agent.audit(
      {
        ...(app === undefined ? {} : { app }),
        since: sinceMs === undefined ? 0 : Date.now() - sinceMs,
        lines: input.count('lines', 1) ?? 50,
      },
      context.interrupts.signal,
    );
    const { auditLines } = await import('../render/audit.ts');
    context.screen.value(reply);
    context.screen.data(auditLines(context.screen, reply).join('\n'));
    return 0;
  },
};

import type { Command } from '../command.ts';

export const releases: Command = {
  name: 'releases',
  summary: 'the releases on the host, newest first',
  description:
    'Lists the releases of an app that are kept on the host: live, warm (an instant way back), good (served before), unproven (never served) or bad (failed its deployment).',
  examples: [['zdd-agent releases', 'the app of this folder']],
  args: [{ name: '[APP]', description: 'the app; default: that of the nearest zdd.yaml' }],
  options: [],
  async run(input, context) {
    const agent = await context.agent();
    const { findTarget } = await import('../target.ts');
    const { app } = await findTarget(context, agent, input.arg(0) ?? context.globals.app);
    const reply = await agent.releases(app, context.interrupts.signal);
    const { releaseLines } = await import('../render/releases.ts');
    context.screen.value(reply);
    context.screen.data(releaseLines(context.screen, reply, Date.now()).join('\n'));
    return 0;
  },
};

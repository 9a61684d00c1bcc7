import type { Command } from '../command.ts';

export const status: Command = {
  name: 'status',
  summary: 'what serves, where traffic goes, what needs attention',
  description:
    'Shows every app of the host at a glance: the live release, its share of traffic, its instances, the release that is still warm, a deployment that runs now, and what needs attention.',
  examples: [
    ['zdd-agent status', 'everything on this host'],
    ['zdd-agent status shop --json', 'one app, for a script'],
  ],
  args: [{ name: '[APP]', description: 'only this app' }],
  options: [],
  async run(input, context) {
    const agent = await context.agent();
    const { signal } = context.interrupts;
    const named = input.arg(0) ?? context.globals.app;
    const reply = await agent.status(signal);
    // Asked for by name, so that an unknown app is an error and not an empty table.
    const shown =
      named === undefined ? reply : { ...reply, apps: [await agent.app(named, signal)] };
    const { statusLines } = await import('../render/status.ts');
    context.screen.value(shown);
    context.screen.data(statusLines(context.screen, shown, Date.now()).join('\n'));
    return 0;
  },
};

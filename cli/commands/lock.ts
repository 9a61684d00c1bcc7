import type { Command } from '../command.ts';

export const lock: Command = {
  name: 'lock',
  summary: 'nobody deploys, restarts or scales the app',
  description:
    'Keeps everybody, you too, from deploying, restarting or scaling the app until it is unlocked. Status and whoever is refused see who locked it, why and since when. What runs goes on, a running deployment too; a rollback is possible with --force. Locking again by the same person replaces message and time.',
  examples: [
    ['zdd-agent lock --message "looking into #812"', 'until zdd-agent unlock'],
    ['zdd-agent lock --for 2h', 'ends by itself'],
  ],
  args: [],
  options: [
    { flags: '--message <text>', description: 'why, for the others' },
    { flags: '--for <time>', description: 'ends by itself after this, such as 2h' },
  ],
  aside: true,
  async run(input, context) {
    const { gate } = await import('../gate/gate.ts');
    return gate(context, 'lock', {
      message: input.text('message') ?? '',
      forMs: await input.duration('for'),
    });
  },
};

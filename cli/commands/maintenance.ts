import type { Command } from '../command.ts';

export const maintenanceOn: Command = {
  name: 'maintenance on',
  summary: 'answer 503 and a page instead of the app',
  description:
    'HAProxy answers visitors of the app with 503, Retry-After and a page. Requests in flight end as they would have; WebSockets stay; instances, health checks and deployments go on. Who comes from an allowed network reaches the app. It outlives reloads, restarts and reboots.',
  examples: [
    ['zdd-agent maintenance on --message "new disk"', 'until it is told off'],
    ['zdd-agent maintenance on --page down.html --for 30m', 'a page of your own'],
    ['zdd-agent maintenance on --allow 203.0.113.7', 'you still get in'],
  ],
  args: [],
  options: [
    { flags: '--message <text>', description: 'why, for the team: it stands in status' },
    { flags: '--page <file>', description: 'HTML for the visitors, at most 12 KiB' },
    { flags: '--allow <networks...>', description: 'addresses or networks that reach the app' },
    { flags: '--retry-after <seconds>', description: 'when clients may try again; default 300' },
    { flags: '--for <time>', description: 'ends by itself after this, such as 30m' },
  ],
  aside: true,
  async run(input, context) {
    const [{ gate }, { readPage }] = await Promise.all([
      import('../gate/gate.ts'),
      import('../gate/page.ts'),
    ]);
    const page = input.text('page');
    return gate(context, 'maintenance', {
      on: true,
      message: input.text('message') ?? '',
      page: page === undefined ? undefined : await readPage(page),
      allow: input.texts('allow'),
      retryAfterS: input.count('retry-after', 0),
      forMs: await input.duration('for'),
    });
  },
};

export const maintenanceOff: Command = {
  name: 'maintenance off',
  summary: 'the app answers again',
  description: 'Ends the maintenance of an app. Told twice, it changes nothing.',
  examples: [['zdd-agent maintenance off', 'the app of this folder']],
  args: [],
  options: [],
  aside: true,
  async run(_input, context) {
    const { gate } = await import('../gate/gate.ts');
    return gate(context, 'maintenance', { on: false });
  },
};

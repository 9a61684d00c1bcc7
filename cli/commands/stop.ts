import type { Command } from '../command.ts';

export const stop: Command = {
  name: 'stop',
  summary: 'take the app offline until it is started',
  description:
    'Takes the app out of traffic: HAProxy answers 503 with Retry-After from then on. Requests that have begun run to their end, WebSockets are closed at the pace of drain.pace, then all instances are stopped, workers too. It stays stopped, also after a reboot, until "start" or a push. Until its instances are being stopped, "abort" calls it off.',
  examples: [
    ['zdd-agent stop', 'the app of this folder'],
    ['zdd-agent start', 'bring it back'],
  ],
  args: [],
  options: [{ flags: '--detach', description: 'return once it has begun' }],
  beside: 'restart',
  async run(input, context) {
    const { steer } = await import('../watch/steer.ts');
    return steer(context, { verb: 'stop', detach: input.flag('detach') });
  },
};

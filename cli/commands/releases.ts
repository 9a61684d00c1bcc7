import type { Command } from '../command.ts';

export const releases: Command = {
  name: 'releases',
  summary: 'the releases on the host, newest first',
  description:
    'Lists the releases of an app that are kept on the host: live, warm (an instant way back), good (served before), unproven (never served) or bad (failed its deployment). Of several hosts: which of them have what, by the digest of the contents, because each host numbers its releases by itself.',
  examples: [
    ['zdd-agent releases', 'the app of this folder'],
    ['zdd-agent releases -e production', 'which hosts have what'],
  ],
  args: [{ name: '[APP]', description: 'the app; default: that of the nearest zdd.yaml' }],
  options: [],
  async run(input, context) {
    const { printReleases } = await import('../read/releases.ts');
    return printReleases(context, input.arg(0));
  },
  async together(input, fleet) {
    const { printFleetReleases } = await import('../read/releases.ts');
    return printFleetReleases(fleet, input.arg(0));
  },
};

import type { Command } from '../command.ts';

export const certLs: Command = {
  name: 'cert ls',
  summary: 'the certificates of the host, and when they end',
  description:
    'Lists the certificates of a host, those that end first before the others: the names they are shown for, how long they are valid, who issued them and where they come from.',
  examples: [['zdd-agent cert ls', 'all of the host']],
  args: [],
  options: [],
  beside: 'cert add',
  async run(_input, context) {
    const { listCertificates } = await import('../cert/list.ts');
    return listCertificates(context);
  },
};

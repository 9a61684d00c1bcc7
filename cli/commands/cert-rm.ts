import type { Command } from '../command.ts';

export const certRm: Command = {
  name: 'cert rm',
  summary: 'take a certificate away',
  description:
    'Takes the certificate that is shown for a name away, with all its names: who asks for one of them by https is refused from then on. Connections that are open go on. To renew a certificate, add the new one instead.',
  examples: [['zdd-agent cert rm shop.example.com', 'the certificate for this name']],
  args: [{ name: '<NAME>', description: 'one of its names, or its id' }],
  options: [],
  beside: 'cert add',
  async run(input, context) {
    const { removeCertificate } = await import('../cert/remove.ts');
    return removeCertificate(input.arg(0) ?? '', context);
  },
};

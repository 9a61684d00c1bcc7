import type { Command } from '../command.ts';

export const certRenew: Command = {
  name: 'cert renew',
  summary: 'ask for a certificate again at once',
  description:
    'Of a host whose certificate is issued by an ACME server (tls.acme in zdd.yaml) and could not be: tries it again now, instead of waiting for the next try. What comes of it stands in status. A certificate that was issued is renewed by itself.',
  examples: [['zdd-agent cert renew shop.example.com', 'after its DNS was mended']],
  args: [{ name: '<NAME>', description: 'the host' }],
  options: [],
  beside: 'cert add',
  async run(input, context) {
    const { renewCertificate } = await import('../cert/renew.ts');
    return renewCertificate(input.arg(0) ?? '', context);
  },
};

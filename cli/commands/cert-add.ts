import type { Command } from '../command.ts';

export const certAdd: Command = {
  name: 'cert add',
  summary: 'show this certificate for the hosts it names',
  description:
    'Gives HAProxy a certificate, its intermediates and its key. Every host name that stands in it is shown it from then on, whichever app the name leads to; a name that another certificate had is taken from that one. A renewed certificate is given in the same way. New connections see it at once, open ones go on, and HAProxy is not reloaded, but for the first certificate of a host, which opens port 443. What does not fit together is refused, and then nothing is changed. The key is read here, travels over the connection to the agent and is never shown.',
  examples: [
    ['zdd-agent cert add fullchain.pem privkey.pem', 'two files'],
    ['zdd-agent cert add all.pem', 'one file with both'],
    ['pass tls/shop | zdd-agent cert add shop.pem -', 'the key from another program'],
  ],
  args: [
    { name: '<CERTIFICATE>', description: 'PEM: the certificate, then its intermediates' },
    { name: '[KEY]', description: 'PEM, without a passphrase; - is stdin' },
  ],
  options: [],
  aside: true,
  async run(input, context) {
    const { addCertificate } = await import('../cert/add.ts');
    return addCertificate(input, context);
  },
};

import type { CertificateStatus } from '../../agent/protocol/certificates.ts';
import type { Context } from '../context.ts';
import { leftText } from '../render/amounts.ts';
import { clean, cut, table } from '../render/text.ts';

const HEAD = ['names', 'left', 'key', 'issued by', 'from'] as const;
/** Columns of what may be long. */
const ISSUER = 24;
const FROM = 24;

/** @returns the exit code */
export async function listCertificates(context: Context): Promise<number> {
  const { screen, interrupts } = context;
  const agent = await context.agent();
  const reply = await agent.certificates(interrupts.signal);
  screen.value(reply);
  if (reply.certificates.length === 0) {
    screen.note('This host has no certificate: it is reached by http only.');
    screen.note('Try: zdd-agent cert add fullchain.pem privkey.pem');
    return 0;
  }
  const now = Date.now();
  const rows = reply.certificates.flatMap((each) =>
    rowsOf(each, now).map((cells) => ({ cells, late: each.expiry !== 'good' })),
  );
  const lines = table(
    HEAD,
    rows.map(({ cells }) => cells),
    (text, column, row) => (column === 1 && rows[row]?.late ? screen.out.yellow(text) : text),
  );
  screen.data(lines.join('\n'));
  return 0;
}

/** One line a name, so that none is cut. */
function rowsOf(certificate: CertificateStatus, now: number): string[][] {
  const { names, serves, key, issuer, origin, from } = certificate;
  return names.map((name, index) => {
    const shown = serves.includes(name) ? name : `(${name}: another's)`;
    if (index > 0) return [clean(shown), '', '', '', ''];
    const place = origin === 'pushed' ? `pushed by ${from}` : from;
    return [
      clean(shown),
      leftText(certificate, now),
      key,
      cut(clean(commonName(issuer)), ISSUER),
      cut(clean(place), FROM),
    ];
  });
}

/** `R11` of `CN=R11, O=Let's Encrypt, C=US`. */
function commonName(issuer: string): string {
  return /(?:^|, )CN=([^,]+)/.exec(issuer)?.[1] ?? issuer;
}

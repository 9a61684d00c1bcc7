import type { CertificateReply } from '../../agent/protocol/certificates.ts';
import type { Context } from '../context.ts';
import { dateTime } from '../render/amounts.ts';
import { clean } from '../render/text.ts';

const SAID: Readonly<Record<CertificateReply['result'], string>> = {
  added: 'is shown',
  replaced: 'is shown instead of the one before',
  already_there: 'is shown already',
  removed: 'is shown no more',
};

/** What became of a certificate. */
export function tellChange({ screen }: Context, reply: CertificateReply): void {
  screen.value(reply);
  const { result, certificate, reloaded, notes } = reply;
  const names = result === 'removed' ? certificate.names : certificate.serves;
  const until = result === 'removed' ? '' : `, until ${dateTime(certificate.notAfter)}`;
  screen.data(clean(`${names.join(', ')}: this certificate ${SAID[result]}${until}`));
  if (reloaded) screen.note('HAProxy was reloaded gracefully for what was new to it');
  for (const note of notes) screen.note(note);
}

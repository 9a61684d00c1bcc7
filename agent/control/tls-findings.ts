import { expiryOf, namesServed } from '../core/certificates.ts';
import type { Host } from '../pipeline/host.ts';
import { certificateFor } from '../pipeline/tls/books.ts';
import { isBrought, issuedFor, wantedHosts } from '../pipeline/tls/wanted.ts';
import type { AppStatus, Finding } from '../protocol/api.ts';
import type { Route } from '../protocol/routes.ts';
import type { CertificateRecord } from '../store/certificates.ts';

const DAY_MS = 86_400_000;

/** Certificates that end soon or have ended, and files of `agent.yaml` that cannot be used. */
export function certificateFindings(host: Host): Finding[] {
  const known = host.tls.certificates.list();
  const served = namesServed(known);
  const wanted = wantedHosts(host);
  // Nobody renews what no app asks for any more, on purpose.
  const matters = ({ origin }: CertificateRecord, names: readonly string[]): boolean =>
    origin !== 'acme' || names.some((name) => wanted.has(name));
  return [
    ...known.flatMap((certificate) => {
      const names = served.get(certificate.id);
      return names === undefined || !matters(certificate, names)
        ? []
        : ending(certificate, names, host.now());
    }),
    ...notIssued(host),
    ...[...host.tls.problems].map(([path, { code, message, evidence, tries }]): Finding => {
      const details = evidence.map(([label, text]) => `${label}: ${text}`).join('; ');
      return {
        level: 'error',
        code,
        what: `${path}: ${message}${details === '' ? '' : ` (${details})`}; what was there before is shown on`,
        tries: [...tries],
      };
    }),
  ];
}

/** Hosts whose last try to have a certificate issued failed. */
function notIssued(host: Host): Finding[] {
  const wanted = wantedHosts(host);
  return host.tls.acme.store.failures().flatMap(({ name, count, error }): Finding[] => {
    const app = wanted.get(name);
    if (app === undefined || isBrought(host, name)) return [];
    const details = error.evidence.map(([label, text]) => `${label}: ${text}`).join('; ');
    const present = issuedFor(host, name);
    const left = present === undefined ? 'it has none' : `the one before is shown on`;
    return [
      {
        level: present === undefined ? 'error' : 'warning',
        code: error.code,
        what: `${app}: ${error.message} (${count} ${count === 1 ? 'try' : 'tries'}, ${left}). ${details}`,
        tries: [...error.tries],
      },
    ];
  });
}

function ending(certificate: CertificateRecord, names: readonly string[], now: number): Finding[] {
  const { origin, source, notAfter } = certificate;
  const expiry = expiryOf(certificate, now);
  if (expiry === 'good') return [];
  const days = Math.floor((notAfter - now) / DAY_MS);
  const when =
    expiry === 'expired'
      ? 'has expired: clients refuse it'
      : `ends in ${days} day${days === 1 ? '' : 's'}`;
  return [
    {
      level: expiry === 'soon' ? 'warning' : 'error',
      code: expiry === 'expired' ? 'ZDD_CERT_EXPIRED' : 'certificate_ends',
      what: `the certificate for ${names.join(', ')} ${when}`,
      tries: {
        pushed: ['zdd-agent cert add fullchain.pem privkey.pem'],
        file: [`ls -l ${source}        whoever renews it has not`],
        acme: ['zdd-agent doctor'],
      }[origin],
    },
  ];
}

/** Of the certificates that its hosts are shown, the one that ends first; null: it has none. */
export function appTls(host: Host, routes: readonly Route[]): AppStatus['tls'] {
  const found = routes.flatMap((route) => certificateFor(host.tls, route.host) ?? []);
  const [first] = found.toSorted((a, b) => a.notAfter - b.notAfter);
  if (first === undefined) return null;
  return { notAfter: first.notAfter, expiry: expiryOf(first, host.now()) };
}

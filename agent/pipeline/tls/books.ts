import { covers, namesServed } from '../../core/certificates.ts';
import type { DesiredTls } from '../../haproxy/desired.ts';
import type { ZddError } from '../../protocol/errors.ts';
import type { AcmeStore } from '../../store/acme.ts';
import type { CertificateRecord, Certificates } from '../../store/certificates.ts';

/** What the host remembers of TLS. */
export interface TlsBooks {
  readonly certificates: Certificates;
  /** What an ACME server is answered while it asks: token -> text. Gone with the daemon, as its orders. */
  readonly challenges: Map<string, string>;
  /** The certificates that agent.yaml names. */
  files(): readonly CertificateFile[];
  /** Those of them that cannot be used, by `cert`, and why. */
  readonly problems: Map<string, ZddError>;
  readonly acme: Acme;
}

/** Who issues certificates, and what is kept of it. */
export interface Acme {
  readonly store: AcmeStore;
  settings(): AcmeSettings;
}

/** Of agent.yaml. */
export interface AcmeSettings {
  readonly directory: string;
  /** Whom the ACME server may write to. */
  readonly email?: string | undefined;
}

/** Files of the host; without `key` it stands in `cert`. */
export interface CertificateFile {
  readonly cert: string;
  readonly key?: string | undefined;
}

/** Books of which nothing but the certificates is kept. */
export function openTlsBooks(
  certificates: Certificates,
  files: () => readonly CertificateFile[],
  acme: Acme,
): TlsBooks {
  return { certificates, challenges: new Map(), files, problems: new Map(), acme };
}

/**
 * What HAProxy shall show to clients that come with TLS.
 * @param expected certificates are on their way: TLS is there before the first of them
 * @returns undefined: there is none, and HAProxy takes no TLS
 */
export function desiredTls(
  { certificates, challenges }: TlsBooks,
  expected: boolean,
): DesiredTls | undefined {
  const known = certificates.list();
  if (known.length === 0 && !expected && challenges.size === 0) return undefined;
  const served = namesServed(known);
  return {
    certificates: known.flatMap(({ id, pem, fingerprint }) => {
      const names = served.get(id);
      return names === undefined ? [] : [{ id, pem, fingerprint, names }];
    }),
    challenges: new Map(challenges),
  };
}

/** The certificate that is shown for a host; undefined: there is none. */
export function certificateFor(
  { certificates }: TlsBooks,
  host: string,
): CertificateRecord | undefined {
  const known = certificates.list();
  const served = namesServed(known);
  // The host's own certificate is shown before one for all hosts of its domain.
  const exact = known.find(({ id }) => served.get(id)?.includes(host));
  return exact ?? known.find(({ id }) => covers(served.get(id) ?? [], host));
}

import { namesServed } from '../../core/certificates.ts';
import { standingRelease } from '../../core/model.ts';
import { type AppConfig, acmeHosts } from '../../protocol/app-config.ts';
import type { CertificateRecord } from '../../store/certificates.ts';
import { type Books, configOf } from '../host.ts';
import { certificateFor } from './books.ts';

/** Hosts that a certificate is to be issued for, and the app that asks for each. */
export function wantedHosts(host: Books): ReadonlyMap<string, string> {
  const wanted = new Map<string, string>();
  for (const app of host.journal.apps()) {
    const release = standingRelease(host.journal.state(app));
    if (release === null) continue;
    for (const name of acmeHosts(configOf(host, app, { release, deployment: 0 }))) {
      wanted.set(name, app);
    }
  }
  return wanted;
}

/** The certificate that was issued for a host; undefined: none was, or another is shown instead. */
export function issuedFor(host: Books, name: string): CertificateRecord | undefined {
  const known = host.tls.certificates.list();
  const served = namesServed(known);
  return known.find(({ id, origin }) => origin === 'acme' && served.get(id)?.includes(name));
}

/** Whether somebody has brought a certificate for a host: then none is issued. */
export function isBrought(host: Books, name: string): boolean {
  const found = certificateFor(host.tls, name);
  return found !== undefined && found.origin !== 'acme';
}

/** Whether https leads somewhere: until the first certificate is issued, nobody is sent there. */
export function mayRedirect(host: Books, config: AppConfig): boolean {
  return acmeHosts(config).every((name) => certificateFor(host.tls, name) !== undefined);
}

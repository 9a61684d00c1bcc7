import { namesServed } from '../../core/certificates.ts';
import { type AppState, standingRelease } from '../../core/model.ts';
import { type AppConfig, acmeHosts } from '../../protocol/app-config.ts';
import type { CertificateRecord } from '../../store/certificates.ts';
import { type Books, configOf } from '../host.ts';
import { certificateFor } from './books.ts';

/**
 * Hosts that a certificate is to be issued for, and the app that asks for each.
 * @param states of all apps, where they were read just now
 */
export function wantedHosts(
  host: Books,
  states: readonly AppState[] = host.journal.apps().map((app) => host.journal.state(app)),
): ReadonlyMap<string, string> {
  const wanted = new Map<string, string>();
  for (const state of states) {
    const release = standingRelease(state);
    if (release === null) continue;
    for (const name of acmeHosts(configOf(host, state.app, { release, deployment: 0 }))) {
      wanted.set(name, state.app);
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

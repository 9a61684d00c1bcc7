import { expiryOf, namesServed } from '../../core/certificates.ts';
import type {
  CertificateReply,
  CertificateStatus,
  CertificatesReply,
} from '../../protocol/certificates.ts';
import { ZddError } from '../../protocol/errors.ts';
import type { CertificateRecord, Origin } from '../../store/certificates.ts';
import type { Host } from '../host.ts';
import { type Pair, readPair } from './pem.ts';
import { wantedHosts } from './wanted.ts';

/** How long HAProxy has for a change, ms. */
const APPLY_MS = 30_000;

let last: Promise<unknown> = Promise.resolve();

/** Two changes at the same time would each undo the other's half. */
export function oneAtATime<T>(work: () => Promise<T>): Promise<T> {
  const next = last.then(work, work);
  last = next.catch(() => undefined);
  return next;
}

/** A certificate that somebody gave to the host. */
export interface Given {
  /** PEM: the certificate and its intermediates. */
  readonly certificate: string;
  /** PEM; undefined: it stands in `certificate`. */
  readonly key: string | undefined;
  readonly origin: Origin;
  /** Who pushed it, its file, or the directory of the ACME server. */
  readonly source: string;
}

/**
 * Takes a certificate over: from its answer on every new handshake for its names sees it, without a
 * reload, but for the first of a host. A name that another certificate had is taken from that one.
 * Everything is looked at before anything is changed.
 * @throws ZDD_CERT_*, ZDD_TLS_UNAVAILABLE, ZDD_HAPROXY_*: everything is as it was
 */
export async function addCertificate(
  host: Host,
  given: Given,
  signal: AbortSignal,
): Promise<CertificateReply> {
  const pair = readPair(given.certificate, given.key, host.now());
  await host.proxy.requireTls();
  await tryIt(host, pair, signal);
  return await oneAtATime(() => take(host, pair, given));
}

async function take(host: Host, pair: Pair, { origin, source }: Given): Promise<CertificateReply> {
  const before = host.tls.certificates.list();
  const present = before.find(({ id }) => id === pair.id);
  const notes = notesOn(pair);
  if (present !== undefined && namesServed(before).get(pair.id)?.length === pair.names.length) {
    const certificate = statusOf(host, present);
    return { result: 'already_there', certificate, reloaded: false, notes };
  }
  const { selfSigned: _, chain: __, ...details } = pair;
  // Later than all that are there, whatever the clock says: the last one has the names.
  const addedAt = Math.max(host.now(), ...before.map((each) => each.addedAt + 1));
  const added: CertificateRecord = { ...details, origin, source, addedAt };
  const others = before.filter(
    (each) =>
      each.id !== added.id &&
      // A file is one certificate, whatever it said before.
      !(origin === 'file' && each.origin === 'file' && each.source === source),
  );
  const served = namesServed([...others, added]);
  // One of a file comes back with the file; it stays, without a name.
  const after = [...others.filter(({ id, origin: o }) => served.has(id) || o === 'file'), added];
  const reloaded = await change(host, after);
  const taken = before.flatMap((each) => each.names).some((name) => added.names.includes(name));
  host.journal.tell({
    type: 'certificate_changed',
    app: '',
    deployment: null,
    change: taken ? 'replaced' : 'added',
    names: [...added.names],
    origin,
    source,
    notAfter: added.notAfter,
  });
  const certificate = statusOf(host, added);
  return { result: taken ? 'replaced' : 'added', certificate, reloaded, notes };
}

/**
 * Takes the certificate that is shown for a name away, with all its names.
 * @throws ZDD_CERT_UNKNOWN, ZDD_HAPROXY_*: everything is as it was
 */
export async function removeCertificate(
  host: Host,
  name: string,
  owner: string,
): Promise<CertificateReply> {
  return await oneAtATime(async () => {
    const before = host.tls.certificates.list();
    const served = namesServed(before);
    const found = before.find(({ id }) => id === name || served.get(id)?.includes(name));
    if (found === undefined) {
      throw new ZddError('ZDD_CERT_UNKNOWN', `no certificate of this host is for ${name}`, {
        traffic: 'untouched',
        tries: ['zdd-agent cert ls'],
      });
    }
    if (found.origin === 'file') {
      throw new ZddError('ZDD_CERT_UNKNOWN', `the certificate for ${name} is one of agent.yaml`, {
        evidence: [['file', found.source]],
        traffic: 'untouched',
        tries: ['take it out of certificates in agent.yaml, then: systemctl reload zdd-agentd'],
      });
    }
    const app = wantedHosts(host).get(name);
    if (found.origin === 'acme' && app !== undefined) {
      throw new ZddError('ZDD_CERT_UNKNOWN', `the app ${app} has it issued, and would again`, {
        traffic: 'untouched',
        tries: ['take acme out of tls in its zdd.yaml, then: zdd-agent push'],
      });
    }
    const certificate = statusOf(host, found);
    const reloaded = await change(
      host,
      before.filter((each) => each !== found),
    );
    host.journal.tell({
      type: 'certificate_changed',
      app: '',
      deployment: null,
      change: 'removed',
      names: [...found.names],
      origin: found.origin,
      source: owner,
      notAfter: found.notAfter,
    });
    return { result: 'removed', certificate, reloaded, notes: [] };
  });
}

/** All of the host, those that end first before the others. */
export function listCertificates(host: Host): CertificatesReply {
  const certificates = host.tls.certificates
    .list()
    .map((certificate) => statusOf(host, certificate))
    .toSorted((a, b) => a.notAfter - b.notAfter);
  return { schemaVersion: 1, certificates };
}

/**
 * Written down first: a daemon that is killed here makes HAProxy say so when it starts again.
 * @returns whether HAProxy was reloaded
 */
export async function change(host: Host, after: readonly CertificateRecord[]): Promise<boolean> {
  const { certificates } = host.tls;
  const before = certificates.list();
  certificates.replace(after);
  try {
    const { reloaded } = await host.traffic.apply(host, AbortSignal.timeout(APPLY_MS));
    return reloaded;
  } catch (error) {
    certificates.replace(before);
    // The files and HAProxy may have got half of it: as it was, now or by the next look at drift.
    await host.traffic.apply(host, AbortSignal.timeout(APPLY_MS)).catch(() => undefined);
    throw error;
  }
}

/** HAProxy's own verdict: its TLS library refuses what Node's takes, a key that is too short for one. */
async function tryIt(host: Host, { pem, names, key }: Pair, signal: AbortSignal): Promise<void> {
  try {
    await host.proxy.tryCertificate(pem, signal);
  } catch (cause) {
    if (!(cause instanceof ZddError) || cause.code !== 'ZDD_HAPROXY_CONFIG_INVALID') throw cause;
    throw new ZddError('ZDD_CERT_INVALID', 'HAProxy cannot use this certificate', {
      evidence: [
        ['names', names.join(', ')],
        ['key', key],
        ...cause.evidence.filter(([label]) => label === 'haproxy -c'),
      ],
      traffic: 'untouched: nothing was changed',
      tries: ['openssl x509 -noout -text -in CERTIFICATE'],
      cause,
    });
  }
}

function notesOn({ selfSigned, chain }: Pair): string[] {
  if (selfSigned) return ['It is signed by itself: browsers will warn of it.'];
  if (chain === 0) {
    return ['No intermediate stands behind it: unless its CA is a root, many clients refuse it.'];
  }
  return [];
}

/** @param certificate of the host, perhaps no longer */
export function statusOf(host: Host, certificate: CertificateRecord): CertificateStatus {
  const { pem: _, fingerprint: __, source, ...said } = certificate;
  const serves = namesServed(host.tls.certificates.list()).get(certificate.id) ?? [];
  return {
    ...said,
    names: [...said.names],
    serves: [...serves],
    from: source,
    expiry: expiryOf(certificate, host.now()),
  };
}

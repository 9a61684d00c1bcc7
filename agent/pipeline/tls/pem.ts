import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { certificateId } from '../../haproxy/tls/files.ts';
import { type ErrorCode, ZddError } from '../../protocol/errors.ts';
import type { CertificateDetails } from '../../store/certificates.ts';

/** A certificate, its chain and its key, that fit each other. */
export interface Pair extends CertificateDetails {
  readonly id: string;
  /** Certificate, chain, key; equal content, equal bytes. */
  readonly pem: string;
  /** It is not signed by another: a browser will not trust it. */
  readonly selfSigned: boolean;
  /** Certificates behind the first. */
  readonly chain: number;
}

/** Clocks of machines differ, ms. */
const CLOCKS_MS = 300_000;

/**
 * Reads what somebody gave as a certificate and its key.
 * @param key PEM; undefined: it stands in `certificate`
 * @param now ms since the epoch
 * @throws ZDD_CERT_INVALID, ZDD_CERT_CHAIN, ZDD_CERT_KEY_ENCRYPTED, ZDD_CERT_KEY_MISMATCH,
 *   ZDD_CERT_EXPIRED; no text of it holds anything of the key
 */
export function readPair(certificate: string, key: string | undefined, now: number): Pair {
  const chain = readChain(certificate);
  const privateKey = readKey(key ?? certificate);
  const leaf = leafOf(chain, privateKey);
  for (const [index, issuer] of chain.slice(1).entries()) {
    const issued = chain[index];
    if (issued === undefined || isIssuedBy(issued, issuer)) continue;
    throw refused('ZDD_CERT_CHAIN', 'the certificates do not form a chain', [
      [`certificate ${index + 1}`, `${nameOf(issued)}, issued by ${issuerOf(issued)}`],
      [`certificate ${index + 2}`, nameOf(issuer)],
      ['expected', 'first the certificate, then who issued it, and so on'],
    ]);
  }
  const notBefore = Date.parse(leaf.validFrom);
  const notAfter = Date.parse(leaf.validTo);
  if (notAfter <= now || notBefore > now + CLOCKS_MS) {
    throw refused(
      'ZDD_CERT_EXPIRED',
      notAfter <= now ? 'the certificate has expired' : 'the certificate is not valid yet',
      [
        ['valid from', new Date(notBefore).toISOString()],
        ['to', new Date(notAfter).toISOString()],
      ],
    );
  }
  const names = namesOf(leaf);
  if (names.length === 0) {
    throw refused('ZDD_CERT_INVALID', 'the certificate is for no host name', [
      ['subject', nameOf(leaf)],
      ['subject alternative names', leaf.subjectAltName ?? 'none; clients read no other'],
    ]);
  }
  const pem = [
    ...chain.map((each) => each.toString().trimEnd()),
    String(privateKey.export({ type: 'pkcs8', format: 'pem' })).trimEnd(),
    '',
  ].join('\n');
  return {
    id: certificateId(pem),
    pem,
    names,
    notBefore,
    notAfter,
    issuer: issuerOf(leaf),
    serial: leaf.serialNumber,
    key: kindOf(privateKey),
    fingerprint: leaf.fingerprint.replaceAll(':', '').toLowerCase(),
    selfSigned: isIssuedBy(leaf, leaf),
    chain: chain.length - 1,
  };
}

function readChain(text: string): readonly X509Certificate[] {
  const blocks = blocksOf(text).filter(({ label }) => label === 'CERTIFICATE');
  if (blocks.length === 0) {
    throw refused('ZDD_CERT_INVALID', 'there is no certificate in it', [
      ['expected', 'PEM: -----BEGIN CERTIFICATE-----'],
    ]);
  }
  return blocks.map(({ text: block }, index) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw refused('ZDD_CERT_INVALID', `certificate ${index + 1} cannot be read`, [], cause);
    }
  });
}

function readKey(text: string): KeyObject {
  const keys = blocksOf(text).filter(({ label }) => label.endsWith('PRIVATE KEY'));
  const [key, ...others] = keys;
  if (key === undefined || others.length > 0) {
    const what = key === undefined ? 'there is no private key in it' : 'there are several keys';
    throw refused('ZDD_CERT_INVALID', what, [
      ['expected', 'one PEM block: -----BEGIN PRIVATE KEY-----'],
    ]);
  }
  if (/ENCRYPTED/.test(key.text)) {
    throw new ZddError(
      'ZDD_CERT_KEY_ENCRYPTED',
      'the key is encrypted, and nobody is there to type its passphrase when HAProxy starts',
      {
        traffic: UNTOUCHED,
        tries: ['openssl pkey -in KEY | zdd-agent cert add CERTIFICATE -'],
      },
    );
  }
  try {
    return createPrivateKey(key.text);
  } catch {
    // Not even what OpenSSL says of it is told on: it was made of a key.
    throw refused('ZDD_CERT_INVALID', 'the private key cannot be read');
  }
}

function leafOf(chain: readonly X509Certificate[], key: KeyObject): X509Certificate {
  const [first] = chain;
  const fits = chain.findIndex((each) => each.checkPrivateKey(key));
  if (first !== undefined && fits === 0) return first;
  if (fits > 0) {
    throw refused('ZDD_CERT_CHAIN', 'the certificate does not stand first', [
      ['its place', `${fits + 1} of ${chain.length}`],
      ['expected', 'first the certificate, then who issued it, and so on'],
    ]);
  }
  throw refused('ZDD_CERT_KEY_MISMATCH', 'the key is not that of the certificate', [
    ['certificate', first === undefined ? '' : nameOf(first)],
    ['key', kindOf(key)],
  ]);
}

const UNTOUCHED = 'untouched: nothing was changed';

function refused(
  code: ErrorCode,
  message: string,
  evidence: ReadonlyArray<readonly [string, string]> = [],
  cause?: unknown,
): ZddError {
  return new ZddError(code, message, {
    evidence,
    traffic: UNTOUCHED,
    tries: ['openssl x509 -noout -text -in CERTIFICATE', 'zdd-agent cert add --help'],
    ...(cause === undefined ? {} : { cause }),
  });
}

function blocksOf(text: string): ReadonlyArray<{ label: string; text: string }> {
  return [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g)].map(
    ([block, label = '']) => ({ label, text: block }),
  );
}

function isIssuedBy(issued: X509Certificate, issuer: X509Certificate): boolean {
  return issued.checkIssued(issuer) && issued.verify(issuer.publicKey);
}

/** `DNS:a.example.com, IP Address:192.0.2.7`: TLS clients ask by host name only. */
function namesOf({ subjectAltName = '' }: X509Certificate): readonly string[] & string[] {
  const names = subjectAltName.split(', ').flatMap((entry) => {
    const name = /^DNS:((?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)$/i.exec(entry)?.[1];
    return name === undefined ? [] : [name.toLowerCase()];
  });
  return [...new Set(names)];
}

function kindOf(key: KeyObject): string {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  const curves = new Map([
    ['prime256v1', 'P-256'],
    ['secp384r1', 'P-384'],
    ['secp521r1', 'P-521'],
  ]);
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return `RSA ${modulusLength}`;
    case 'ec':
      return `EC ${curves.get(namedCurve ?? '') ?? namedCurve}`;
    default:
      return key.asymmetricKeyType ?? 'unknown';
  }
}

function nameOf({ subject }: X509Certificate): string {
  return oneLine(subject);
}

function issuerOf({ issuer }: X509Certificate): string {
  return oneLine(issuer);
}

/** `CN=R11, O=Let's Encrypt`: the narrowest first, as people read it. */
function oneLine(distinguished: string | undefined): string {
  const parts = (distinguished ?? '').split('\n').filter((part) => part !== '');
  return parts.length === 0 ? 'unnamed' : parts.toReversed().join(', ');
}

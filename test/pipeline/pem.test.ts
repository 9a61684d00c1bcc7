import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readPair } from '../../agent/pipeline/tls/pem.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import { type Authority, authority, type Issued } from '../haproxy/certificates.ts';

const DAY_MS = 86_400_000;
let ca: Authority;
let shop: Issued;
let other: Issued;

beforeAll(async () => {
  ca = await authority();
  shop = await ca.issue(['shop.example.com', 'WWW.example.com', '*.shop.example.com']);
  other = await ca.issue(['other.example.com'], { newkey: 'rsa:2048' });
});
afterAll(() => ca.remove());

const now = (): number => Date.now();
const read = (certificate: string, key?: string, at = now()) => readPair(certificate, key, at);

/** The error, which says nothing of the key. */
function refusal(certificate: string, key: string | undefined, at = now()): ZddError {
  try {
    read(certificate, key, at);
  } catch (error) {
    if (!(error instanceof ZddError)) throw error;
    const said = JSON.stringify([error.toBody(), error.stack, String(error.cause)]);
    for (const line of (key ?? certificate).match(/^[A-Za-z0-9+/=]{20,}$/gm) ?? []) {
      expect(said).not.toContain(line);
    }
    expect(error.tries.length).toBeGreaterThan(0);
    expect(error.traffic).toContain('untouched');
    return error;
  }
  throw new Error('it was taken');
}

describe('what fits together', () => {
  test('is read with its names, its life and its key, whatever stands around it', () => {
    const pair = read(
      `Bag Attributes\n  a: b\n${shop.chain.replaceAll('\n', '\r\n')}`,
      `x\n\n${shop.key}`,
    );
    expect(pair).toMatchObject({
      names: ['shop.example.com', 'www.example.com', '*.shop.example.com'],
      issuer: 'CN=Test CA',
      key: 'EC P-256',
      chain: 1,
      selfSigned: false,
    });
    expect(pair.notAfter - pair.notBefore).toBe(90 * DAY_MS);
    expect(pair.fingerprint).toMatch(/^[0-9a-f]{40}$/);
    expect(pair.pem).toBe(read(shop.chain + shop.key).pem);
    expect(pair.pem).not.toContain('\n\n');
    expect(read(other.chain, other.key).key).toBe('RSA 2048');
  });

  test('has another id when anything of it differs', () => {
    const ids = [shop.chain, shop.certificate, `${shop.chain}${ca.root}`].map(
      (chain) => read(chain, shop.key).id,
    );
    expect(new Set(ids).size).toBe(3);
  });
});

describe('what does not is refused by its own code', () => {
  test('a key of another certificate', () => {
    expect(refusal(shop.chain, other.key).code).toBe('ZDD_CERT_KEY_MISMATCH');
  });

  test('a chain that does not begin with the certificate, or has a gap', () => {
    const turned = refusal(`${ca.intermediate}${shop.certificate}`, shop.key);
    expect([turned.code, turned.evidence[0]?.[1]]).toEqual(['ZDD_CERT_CHAIN', '2 of 2']);
    const gap = refusal(`${shop.certificate}${ca.root}`, shop.key);
    expect([gap.code, gap.evidence.length]).toEqual(['ZDD_CERT_CHAIN', 3]);
    expect(refusal(`${shop.chain}${other.certificate}`, shop.key).code).toBe('ZDD_CERT_CHAIN');
  });

  test('a key with a passphrase, in both ways to write it', () => {
    for (const traditional of [[], ['-traditional']]) {
      const locked = execFileSync(
        'openssl',
        ['pkey', '-aes256', '-passout', 'pass:secret', ...traditional],
        { input: shop.key, encoding: 'utf8' },
      );
      const error = refusal(shop.chain, locked);
      expect(error.code).toBe('ZDD_CERT_KEY_ENCRYPTED');
      expect(error.tries[0]).toContain('openssl pkey');
    }
  });

  test('one whose time is over, or has not come', () => {
    expect(refusal(shop.chain, shop.key, now() + 91 * DAY_MS).code).toBe('ZDD_CERT_EXPIRED');
    expect(refusal(shop.chain, shop.key, now() - DAY_MS).code).toBe('ZDD_CERT_EXPIRED');
    // The clock of a host may be a little behind that of the CA.
    expect(read(shop.chain, shop.key, now() - 60_000).names.length).toBe(3);
  });

  test.each([
    ['nothing', '', undefined],
    ['a key alone', 'KEY', undefined],
    ['a certificate alone', 'CHAIN', undefined],
    ['two keys', 'CHAIN', 'KEYKEY'],
    [
      'a damaged certificate',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      'KEY',
    ],
    ['a damaged key', 'CHAIN', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'],
    ['a key without its end', 'CHAIN', '-----BEGIN PRIVATE KEY-----\nAAAA\n'],
  ])('%s', (_what, certificate, key) => {
    const filled = (text: string): string =>
      text
        .replaceAll('CHAIN', shop.chain)
        .replaceAll(/^(KEY)+$/g, (all) => shop.key.repeat(all.length / 3));
    expect(refusal(filled(certificate), key === undefined ? undefined : filled(key)).code).toBe(
      'ZDD_CERT_INVALID',
    );
  });

  test('one for no host name', async () => {
    const nameless = await ca.issue(['IP:192.0.2.7']);
    expect(refusal(nameless.chain, nameless.key).code).toBe('ZDD_CERT_INVALID');
  });
});

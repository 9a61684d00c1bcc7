import type { Hsts } from '../desired.ts';
import { tlsPlaces } from '../tls/files.ts';
import { quote } from './words.ts';

/**
 * Mozilla's intermediate settings (guidelines 5.7) without its DHE suites, which need parameters of
 * their own and serve no client that has not ECDHE. No tickets: they would be kept by one key for as
 * long as a worker lives. Without a certificate for a name there is no connection (`strict-sni`), so
 * that nobody learns one host's names by asking for another, and the list may be empty.
 */
const SETTINGS = [
  'strict-sni',
  'ssl-min-ver TLSv1.2',
  'no-tls-tickets',
  'prefer-client-ciphers',
  'curves X25519:prime256v1:secp384r1',
  `ciphers ${[
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-RSA-CHACHA20-POLY1305',
  ].join(':')}`,
  `ciphersuites ${['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'].join(':')}`,
].join(' ');

/** How the agent's frontend takes TLS. */
export interface TlsEntrance {
  readonly bind: readonly string[];
  /** Of the list and the certificates. */
  readonly folder: string;
  /** HTTP/3 as well, where HAProxy has QUIC. */
  readonly http3: boolean;
}

/** Its lines in the frontend. */
export function tlsBinds({ bind, folder, http3 }: TlsEntrance): string[] {
  const certificates = `crt-list ${tlsPlaces(folder).list}`;
  return [
    ...bind.map((address) => `  ${tlsBind(address, certificates)}`),
    ...(http3 ? quicBinds(bind, certificates) : []),
  ];
}

/** @param certificates `crt-list FILE` or `crt FILE` */
function tlsBind(address: string, certificates: string): string {
  return `bind ${address} ssl ${certificates} alpn h2,http/1.1 ${SETTINGS}`;
}

/** HAProxy itself knows whether it has QUIC; without, it passes over these lines. */
function quicBinds(bind: readonly string[], certificates: string): string[] {
  return [
    '  .if feature(QUIC)',
    ...bind.map((written) => {
      const [address = ''] = written.replace(/^(ipv[46]|tcp[46]?)@/, '').split(' ');
      const family = /^\[|:.*:/.test(address) ? 'quic6' : 'quic4';
      return `  bind ${family}@${address} ssl ${certificates} alpn h3 ${SETTINGS}`;
    }),
    '  # Browsers come by TCP first and are told here; each port speaks for itself.',
    `  http-after-response set-header Alt-Svc 'h3=":%[dst_port]"; ma=3600' if { ssl_fc }`,
    '  .endif',
  ];
}

/** OpenSSL has no QUIC of HAProxy's kind: by the layer between, which has no 0-RTT. */
export function quicGlobal(): string[] {
  return ['  .if feature(QUIC_OPENSSL_COMPAT)', '  limited-quic', '  .endif'];
}

/** What the frontend does for TLS before it routes. The answers are for HTTP and HTTPS alike. */
export function tlsRules(folder: string): string[] {
  const { challenges } = tlsPlaces(folder);
  return [
    '  http-request set-header X-Forwarded-Proto https if { ssl_fc }',
    '  # An ACME server asks here; what it has not been promised is for the app.',
    `  http-request set-var(txn.zdd_acme) path,field(4,/),map_str(${challenges}) if { path_beg /.well-known/acme-challenge/ }`,
    '  http-request return status 200 content-type text/plain lf-string %[var(txn.zdd_acme)] if { var(txn.zdd_acme) -m found }',
  ];
}

/** On every answer over TLS, HAProxy's own too; who ends TLS before us says so. */
export function hstsRules(hsts: Hsts | undefined): string[] {
  if (hsts === undefined) return [];
  const value = [
    `max-age=${hsts.maxAgeS}`,
    ...(hsts.subdomains ? ['includeSubDomains'] : []),
    ...(hsts.preload ? ['preload'] : []),
  ].join('; ');
  return [
    '  http-request set-var(txn.zdd_tls) bool(true) if { ssl_fc } or { req.hdr(X-Forwarded-Proto) -i https }',
    `  http-after-response set-header Strict-Transport-Security ${quote(value)} if { var(txn.zdd_tls) -m bool }`,
  ];
}

/** A whole configuration that shows one certificate: for `haproxy -c`. */
export function renderTrial(pem: string): string {
  return `frontend zdd\n  mode http\n  timeout client 1s\n  ${tlsBind('127.0.0.1:1', `crt ${pem}`)}\n`;
}

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { DesiredCertificate, DesiredProxy } from '../../../agent/haproxy/desired.ts';
import { readPair } from '../../../agent/pipeline/tls/pem.ts';
import { type Authority, authority, type Issued } from '../certificates.ts';
import { freePort, type Lab, openLab, shop, soon } from '../harness.ts';
import { rawGet } from '../raw.ts';
import { getHttp2, program, shake } from './clients.ts';

const HOST = 'shop.example.com';
let ca: Authority;
let first: DesiredCertificate;
let renewed: DesiredCertificate;
let hasQuic: boolean;
let lab: Lab;
let port: number;

beforeAll(async () => {
  ca = await authority();
  first = certificate(await ca.issue([HOST]));
  renewed = certificate(await ca.issue([HOST]));
  hasQuic = (await program('haproxy', ['-vv'])).out.includes('+QUIC ');
});
afterAll(() => ca.remove());

beforeEach(async () => {
  port = await freePort();
  lab = await openLab({ bindTls: () => [`127.0.0.1:${port}`], http3: () => true });
  await lab.app('r1');
  await lab.app('r2');
  await lab.proxy.open(soon());
});
afterEach(() => lab.close());

const wish = (shown: DesiredCertificate, on: 'r1' | 'r2' = 'r1'): DesiredProxy => ({
  ...shop(lab.server('r1', on === 'r1' ? 100 : 0), lab.server('r2', on === 'r2' ? 100 : 0)),
  tls: { certificates: [shown], challenges: new Map() },
});
const apply = (desired: DesiredProxy) => lab.proxy.apply(desired, soon());

it('is offered where HAProxy has QUIC, and nowhere else is anything different', async () => {
  await apply(wish(first));
  const { status, headers } = await getHttp2(port, HOST, ca.root);
  const offer = hasQuic ? `h3=":${port}"; ma=3600` : undefined;
  expect([status, headers['alt-svc']]).toEqual([200, offer]);
  const udp = (await readFile('/proc/net/udp', 'utf8')).toLowerCase();
  expect(udp.includes(`:${port.toString(16).padStart(4, '0')} `)).toBe(hasQuic);
  expect(await rawGet(lab.port, HOST, '/')).not.toMatch(/alt-svc/i);
  expect((await apply(wish(renewed))).reloaded).toBe(false);
  const fingerprint = renewed.fingerprint.toUpperCase().replace(/..(?!$)/g, '$&:');
  expect(await shake(port, HOST, ca.root)).toMatchObject({ fingerprint });
  expect(await lab.proxy.inspect(wish(renewed), soon())).toEqual([]);
});

it('curl loses nothing of it over switches and changes of the certificate', async () => {
  await apply(wish(first));
  const root = join(lab.folder, 'root.pem');
  await writeFile(root, ca.root);
  const url = `https://${HOST}:${port}/`;
  const curl = (...args: readonly string[]) =>
    program('curl', [
      ...['-sS', '--cacert', root, '--resolve', `${HOST}:${port}:127.0.0.1`],
      ...['-w', ' %{http_code} %{http_version}\\n', ...args],
    ]);
  // Debian 12's HAProxy has no QUIC and its curl no HTTP/3: they agree on HTTP/2.
  const speaks = (await program('curl', ['--version'])).out.includes('HTTP3');
  if (!hasQuic || !speaks) {
    expect((await curl(url)).out).toBe('r1 200 2\n');
    return;
  }
  const answers: string[] = [];
  let done = false;
  // Each round is one connection with many requests, one after the other.
  const clients = Array.from({ length: 4 }, async () => {
    do {
      const { out, err } = await curl('--http3-only', `${url}?[1-200]`);
      answers.push(...`${out}${err}`.trimEnd().split('\n'));
    } while (!done);
  });
  for (let turn = 0; turn < 10; turn += 1) {
    const shown = turn % 4 < 2 ? renewed : first;
    const { reloaded } = await apply(wish(shown, turn % 2 === 0 ? 'r2' : 'r1'));
    expect(reloaded).toBe(false);
  }
  done = true;
  await Promise.all(clients);
  expect(answers.filter((answer) => !/^r[12] 200 3$/.test(answer))).toEqual([]);
  expect(new Set(answers)).toEqual(new Set(['r1 200 3', 'r2 200 3']));
  expect(answers.length).toBeGreaterThanOrEqual(800);
});

function certificate({ chain, key }: Issued): DesiredCertificate {
  const { id, pem, fingerprint, names } = readPair(chain, key, Date.now());
  return { id, pem, fingerprint, names };
}

import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DesiredCertificate, DesiredTls } from '../../../agent/haproxy/desired.ts';
import { sendReload, showProcesses } from '../../../agent/haproxy/master.ts';
import { readPair } from '../../../agent/pipeline/tls/pem.ts';
import { type Authority, authority, type Issued } from '../certificates.ts';
import { freePort, type Lab, openLab, shop, soon, until } from '../harness.ts';
import { rawGet } from '../raw.ts';
import { getHttp2, program, shake, startTlsLoad } from './clients.ts';

let ca: Authority;
let one: Issued;
let renewed: Issued;
let blog: Issued;
let wide: Issued;
let lab: Lab;
let port: number;

beforeAll(async () => {
  ca = await authority();
  one = await ca.issue(['shop.example.com', 'www.example.com']);
  renewed = await ca.issue(['shop.example.com', 'www.example.com'], { newkey: 'rsa:2048' });
  blog = await ca.issue(['blog.example.com']);
  wide = await ca.issue(['*.example.com']);
});
afterAll(() => ca.remove());

beforeEach(async () => {
  port = await freePort();
  lab = await openLab({ bindTls: () => [`127.0.0.1:${port}`] });
  await lab.app('r1');
  await lab.proxy.open(soon());
});
afterEach(() => lab.close());

function certificate({ chain, key }: Issued, names?: readonly string[]): DesiredCertificate {
  const pair = readPair(chain, key, Date.now());
  return { id: pair.id, pem: pair.pem, fingerprint: pair.fingerprint, names: names ?? pair.names };
}

const tlsOf = (...certificates: readonly DesiredCertificate[]): DesiredTls => ({
  certificates,
  challenges: new Map(),
});
const wish = (tls: DesiredTls | undefined) => ({ ...shop(lab.server('r1', 100)), tls });
const apply = (tls: DesiredTls | undefined) => lab.proxy.apply(wish(tls), soon());
const differences = async (tls: DesiredTls | undefined) =>
  (await lab.proxy.inspect(wish(tls), soon())).map(({ what }) => what);
const worker = async (): Promise<number | undefined> =>
  (await showProcesses(lab.master, soon())).current?.pid;
const list = (): string => join(lab.folder, 'zdd-certs.list');
const namesAt = async (name: string): Promise<string> => {
  const shown = await shake(port, name, ca.root);
  return typeof shown === 'string' ? shown : shown.names;
};
const fingerprintAt = async (name: string): Promise<string> => {
  const shown = await shake(port, name, ca.root);
  return typeof shown === 'string' ? shown : shown.fingerprint.replaceAll(':', '').toLowerCase();
};
const UNKNOWN_NAME = 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME';

describe('a host without certificates', () => {
  it('says what it always said, and takes TLS from the first one on by one reload', async () => {
    await apply(undefined);
    const before = await lab.config();
    expect(before).not.toMatch(/ssl|zdd-acme|X-Forwarded-Proto https/);
    expect(await readdir(lab.folder)).not.toContain('zdd-certs');
    expect((await apply(tlsOf(certificate(one)))).reloaded).toBe(true);
    expect(await namesAt('shop.example.com')).toBe('shop.example.com, www.example.com');
    expect(await differences(tlsOf(certificate(one)))).toEqual([]);
    // Gone again with the last, and its files with it.
    expect((await apply(undefined)).reloaded).toBe(true);
    const shape = /ZDD_SHAPE "\w+"/;
    expect((await lab.config()).replace(shape, '')).toBe(before.replace(shape, ''));
    expect((await readdir(lab.folder)).filter((name) => /certs|acme/.test(name))).toEqual([]);
    expect(await namesAt('shop.example.com')).toBe('ECONNREFUSED');
  });

  it('takes it before the first app too', async () => {
    await lab.proxy.apply({ apps: [], tls: tlsOf(certificate(one)) }, soon());
    expect(await namesAt('www.example.com')).toBe('shop.example.com, www.example.com');
  });
});

describe('what clients get', () => {
  it('is the certificate of the name they ask for, HTTP/2, and nothing older than TLS 1.2', async () => {
    await apply(tlsOf(certificate(one), certificate(blog), certificate(wide)));
    expect(await namesAt('shop.example.com')).toBe('shop.example.com, www.example.com');
    expect(await namesAt('blog.example.com')).toBe('blog.example.com');
    expect(await namesAt('any.example.com')).toBe('*.example.com');
    for (const name of ['a.b.example.com', 'example.com', 'elsewhere.test']) {
      expect([name, await namesAt(name)]).toEqual([name, UNKNOWN_NAME]);
    }
    expect(await shake(port, 'shop.example.com', ca.root)).toMatchObject({
      protocol: 'TLSv1.3',
      alpn: 'h2',
    });
    const old = await shake(port, 'shop.example.com', ca.root, { maxVersion: 'TLSv1.2' });
    expect(old).toMatchObject({ protocol: 'TLSv1.2' });
    const older = await shake(port, 'shop.example.com', ca.root, { maxVersion: 'TLSv1.1' });
    expect(older).toMatch(/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/);
    expect(await getHttp2(port, 'shop.example.com', ca.root)).toMatchObject({
      status: 200,
      body: 'r1',
    });
  });

  it('and curl agrees', async () => {
    await apply(tlsOf(certificate(one)));
    const root = join(lab.folder, 'root.pem');
    await writeFile(root, ca.root);
    const resolve = ['--resolve', `shop.example.com:${port}:127.0.0.1`, '--cacert', root];
    const asked = ['-sS', '-w', ' %{http_version} %{ssl_verify_result}', ...resolve];
    const url = `https://shop.example.com:${port}/`;
    expect(await program('curl', [...asked, url])).toMatchObject({ code: 0, out: 'r1 2 0' });
    const one_one = await program('curl', [...asked, '--http1.1', url]);
    expect(one_one).toMatchObject({ code: 0, out: 'r1 1.1 0' });
  });

  it('tells the app that they came by https', async () => {
    await lab.app('told', (request, response) =>
      response.end(String(request.headers['x-forwarded-proto'])),
    );
    const desired = { ...shop(lab.server('told', 100)), tls: tlsOf(certificate(one)) };
    await lab.proxy.apply(desired, soon());
    expect((await getHttp2(port, 'shop.example.com', ca.root)).body).toBe('https');
    expect(await rawGet(lab.port, 'shop.example.com', '/')).toMatch(/undefined$/);
  });
});

describe('a change of certificates', () => {
  it('needs no reload, loses nothing under load, and each new handshake sees it at once', async () => {
    await apply(tlsOf(certificate(one)));
    const pid = await worker();
    const load = startTlsLoad(port, 'shop.example.com', ca.root);
    let swaps = 0;
    for (const next of [renewed, one, renewed, one, renewed, one, renewed]) {
      const wanted = certificate(next);
      const { reloaded, changed } = await apply(tlsOf(wanted, certificate(blog)));
      expect({ reloaded, changed }).toEqual({ reloaded: false, changed: true });
      expect(await fingerprintAt('shop.example.com')).toBe(wanted.fingerprint);
      expect(await namesAt('blog.example.com')).toBe('blog.example.com');
      expect((await apply(tlsOf(wanted))).reloaded).toBe(false);
      expect(await namesAt('blog.example.com')).toBe(UNKNOWN_NAME);
      swaps += 2;
      const seen = load.outcomes.length;
      await until('requests go on', () => load.outcomes.length > seen + 20);
    }
    const outcomes = await load.stop();
    expect(swaps).toBe(14);
    expect(outcomes.filter((outcome) => outcome !== '200')).toEqual([]);
    expect(new Set(load.shown).size).toBe(2);
    expect(await worker()).toBe(pid);
    // What HAProxy has in memory does not grow.
    const loaded = (await lab.ask('show ssl cert')).match(/\.pem/g);
    expect(loaded?.length).toBe(1);
    expect(await readdir(join(lab.folder, 'zdd-certs'))).toEqual([
      `${certificate(renewed).id}.pem`,
    ]);
    // After a reload the same.
    await sendReload(lab.master, soon());
    await until('another worker', async () => (await worker()) !== pid);
    await until(
      'it answers',
      async () => (await differences(tlsOf(certificate(renewed)))).length === 0,
    );
    expect(await fingerprintAt('shop.example.com')).toBe(certificate(renewed).fingerprint);
  });

  it('leaves HTTP/2 connections alone: h2load gets every answer', async () => {
    await apply(tlsOf(certificate(one)));
    const running = program('h2load', [
      ...['-n', '12000', '-c', '8', '-m', '10', '-t', '1'],
      ...['--connect-to', `127.0.0.1:${port}`, `https://shop.example.com:${port}/`],
    ]);
    let done = false;
    void running.then(() => {
      done = true;
    });
    const pid = await worker();
    let swaps = 0;
    while (!done) {
      await apply(tlsOf(certificate(swaps % 2 === 0 ? renewed : one)));
      swaps += 1;
    }
    const { out } = await running;
    expect(out).toMatch(
      /12000 total, 12000 started, 12000 done, 12000 succeeded, 0 failed, 0 errored/,
    );
    expect(out).toMatch(/status codes: 12000 2xx/);
    expect(swaps).toBeGreaterThan(1);
    expect(await worker()).toBe(pid);
  });

  it('moves single names between certificates without a moment in between', async () => {
    const names = certificate(one).names;
    const own = certificate(wide, ['*.example.com']);
    await apply(tlsOf(certificate(one), own));
    const load = startTlsLoad(port, 'www.example.com', ca.root, 6);
    for (const kept of [['shop.example.com'], names, ['shop.example.com'], names]) {
      const taken = names.filter((name) => !kept.includes(name));
      const others = certificate(wide, ['*.example.com', ...taken]);
      await apply(tlsOf(certificate(one, kept), others));
      expect(await namesAt('www.example.com')).toBe(
        taken.length > 0 ? '*.example.com' : 'shop.example.com, www.example.com',
      );
    }
    expect((await load.stop()).filter((outcome) => outcome !== '200')).toEqual([]);
  });

  it('that HAProxy cannot be told at runtime is told by a reload', async () => {
    await apply(tlsOf(certificate(one)));
    // A chain that is longer than HAProxy's buffer: the root again and again is refused by nobody.
    const long = readPair(blog.chain, blog.key, Date.now());
    const pem = `${long.pem}${ca.root.repeat(30)}`;
    const { certificateId } = await import('../../../agent/haproxy/tls/files.ts');
    const huge = { ...certificate(blog), id: certificateId(pem), pem };
    expect((await apply(tlsOf(certificate(one), huge))).reloaded).toBe(true);
    expect(await namesAt('blog.example.com')).toBe('blog.example.com');
    expect((await apply(tlsOf(certificate(one), huge))).changed).toBe(false);
  });
});

describe('what somebody else does', () => {
  it('to the files or at runtime is named and put right without a reload', async () => {
    const wanted = tlsOf(certificate(one), certificate(blog));
    await apply(wanted);
    const pid = await worker();
    const [first = '', second = ''] = wanted.certificates.map(({ id }) =>
      join(lab.folder, 'zdd-certs', `${id}.pem`),
    );
    const put = async (what: RegExp, damage: () => Promise<unknown>): Promise<void> => {
      await damage();
      const found = await differences(wanted);
      expect(found.join('\n')).toMatch(what);
      const { reloaded } = await apply(wanted);
      expect([found, reloaded, await differences(wanted)]).toEqual([found, false, []]);
      expect(await namesAt('blog.example.com')).toBe('blog.example.com');
      expect(await fingerprintAt('shop.example.com')).toBe(certificate(one).fingerprint);
    };
    await put(/its file is not/, () => rm(first));
    await put(/its file is not/, () => writeFile(second, 'x'));
    await put(/zdd-certs.list: not what/, () => writeFile(list(), ''));
    await put(/not shown for shop.example.com/, () =>
      lab.ask(`del ssl crt-list ${list()} ${first}`),
    );
    await put(/missing at runtime/, async () => {
      await lab.ask(`del ssl crt-list ${list()} ${second}`);
      await lab.ask(`del ssl cert ${second}`);
    });
    await put(/another at runtime/, async () => {
      const pem = certificate(renewed).pem;
      await lab.ask(`set ssl cert ${first} <<\n${pem}`);
      await lab.ask(`commit ssl cert ${first}`);
    });
    await put(/not wanted/, () =>
      lab.ask(`add ssl crt-list ${list()} <<\n${first} more.example.com\n`),
    );
    const { pem } = certificate(renewed);
    await put(/left open/, () => lab.ask(`set ssl cert ${first} <<\n${pem}`));
    // HAProxy has one transaction at a time: one that was left must not be in the way.
    await lab.ask(`set ssl cert ${first} <<\n${pem}`);
    const third = await ca.issue(['third.example.com']);
    await apply(tlsOf(...wanted.certificates, certificate(third)));
    expect(await namesAt('third.example.com')).toBe('third.example.com');
    expect(await worker()).toBe(pid);
  });
});

describe('keys', () => {
  it('are in files that only the agent and HAProxy may read, and nowhere else', async () => {
    await apply(tlsOf(certificate(one)));
    const files = await readdir(lab.folder, { recursive: true, withFileTypes: true });
    const secret = certificate(one).pem.split('\n').at(-3) ?? '';
    const holders: string[] = [];
    for (const entry of files.filter((each) => each.isFile())) {
      const path = join(entry.parentPath, entry.name);
      if ((await readFile(path, 'utf8')).includes(secret)) holders.push(path);
    }
    expect(holders).toEqual([join(lab.folder, 'zdd-certs', `${certificate(one).id}.pem`)]);
    for (const path of holders) expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(lab.log.join('\n')).not.toContain(secret);
  });

  it('that HAProxy refuses are told without the key', async () => {
    await apply(tlsOf(certificate(one)));
    const pair = certificate(blog);
    const broken = pair.pem.replace(
      /PRIVATE KEY-----\n[\s\S]*$/,
      'PRIVATE KEY-----\nSECRET+SECRET\n',
    );
    await expect(
      apply(tlsOf(certificate(one), { ...pair, id: 'feedfeedfeedfeed', pem: broken })),
    ).rejects.toSatisfy((error) => !String(JSON.stringify(error)).includes('SECRET'));
    expect(lab.log.join('\n')).not.toContain('SECRET');
    expect(await fingerprintAt('shop.example.com')).toBe(certificate(one).fingerprint);
    expect((await apply(tlsOf(certificate(one)))).changed).toBe(true);
    expect(await differences(tlsOf(certificate(one)))).toEqual([]);
  });

  it('too weak for HAProxy are found before anything is changed', async () => {
    const weak = await ca.issue(['weak.example.com'], { newkey: 'rsa:1024' });
    const { pem } = readPair(weak.chain, weak.key, Date.now());
    await expect(lab.proxy.tryCertificate(pem, soon())).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_CONFIG_INVALID',
    });
    await lab.proxy.tryCertificate(certificate(one).pem, soon());
  });
});

it('a port that a frontend of the admin has is not taken a second time', async () => {
  await apply(undefined);
  await lab.proxy.requireTls();
  await writeFile(
    lab.options.configPath,
    `${await lab.config()}\nfrontend mine\n  mode tcp\n  timeout client 1s\n  bind *:${port}\n`,
  );
  await expect(lab.proxy.requireTls()).rejects.toMatchObject({ code: 'ZDD_TLS_UNAVAILABLE' });
});

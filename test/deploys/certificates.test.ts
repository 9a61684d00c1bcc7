import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { certificatesReply } from '../../agent/protocol/certificates.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Authority, authority, type Issued, writePair } from '../haproxy/certificates.ts';
import { freePort } from '../haproxy/harness.ts';
import { getHttp2, shake, startTlsLoad } from '../haproxy/tls/clients.ts';
import { BY_RELOAD, push } from './shop.ts';

let host: PrivateHost;
let ca: Authority;
let port: number;
const HOST = 'shop.example.com';

beforeAll(async () => {
  ca = await authority();
  port = await freePort();
  host = await PrivateHost.prepare();
  await configure((settings) => {
    settings['haproxy'] = { ...settings['haproxy'], bind_tls: [`127.0.0.1:${port}`] };
  });
  await host.startDaemon();
  const config = {
    routes: [HOST],
    redirect: { https: true },
    tls: { hsts: { max_age: '400d', subdomains: true, preload: true } },
  };
  expect((await push(host, { behaviour: { version: 'v1' }, config })).code).toBe(0);
});
afterAll(async () => {
  await host.remove();
  await ca.remove();
});

async function configure(edit: (settings: Record<string, Record<string, unknown>>) => void) {
  const path = join(host.dir, 'agent.yaml');
  const settings = parse(await readFile(path, 'utf8'));
  edit(settings);
  await writeFile(path, stringify(settings));
}

let files = 0;
async function add(issued: Issued) {
  files += 1;
  return await host.cli(['cert', 'add', ...(await writePair(ca.folder, `pair${files}`, issued))]);
}

async function shown(name = HOST): Promise<string> {
  const found = await shake(port, name, ca.root);
  return typeof found === 'string' ? found : found.fingerprint;
}

async function certificates() {
  const { stdout } = await host.cli(['cert', 'ls', '--json']);
  return certificatesReply.parse(JSON.parse(stdout)).certificates;
}

const reloads = async (): Promise<number> =>
  (await readFile(join(host.stateDir, 'haproxy', 'haproxy.log'), 'utf8')).split(/[Nn]ew worker \(/)
    .length;

async function byHttp(): Promise<{ status: number | undefined; location: string | undefined }> {
  const { promise, resolve, reject } = Promise.withResolvers<{
    status: number | undefined;
    location: string | undefined;
  }>();
  const sent = request(`${host.url}/a?b=c`, { headers: { host: HOST } }, (response) => {
    response.resume();
    resolve({ status: response.statusCode, location: response.headers.location });
  });
  sent.on('error', reject);
  sent.end();
  return await promise;
}

describe('cert add', () => {
  test('refuses what does not fit, by its code, and changes nothing', async () => {
    const [one, other] = await Promise.all([ca.issue([HOST]), ca.issue(['other.example.com'])]);
    const config = join(host.stateDir, 'haproxy', 'haproxy.cfg');
    const before = await readFile(config, 'utf8');
    const weak = await ca.issue([HOST], { newkey: 'rsa:1024' });
    for (const [code, bad] of [
      ['ZDD_CERT_KEY_MISMATCH', { ...one, key: other.key }],
      ['ZDD_CERT_CHAIN', { ...one, chain: ca.intermediate + one.certificate }],
      ['ZDD_CERT_INVALID', { ...one, chain: ca.root, key: '' }],
      ['ZDD_CERT_INVALID', weak],
      [
        'ZDD_CERT_KEY_ENCRYPTED',
        { ...one, key: one.key.replaceAll('PRIVATE', 'ENCRYPTED PRIVATE') },
      ],
    ] as const) {
      const refused = await add(bad);
      expect([code, refused.code]).toEqual([code, 10]);
      expect(refused.stderr).toContain(code);
      expect(refused.stderr).toMatch(/\nTry: /);
    }
    const nowhere = await host.cli(['cert', 'add', '/nowhere.pem']);
    expect([nowhere.code, nowhere.stderr.includes('ZDD_CERT_INVALID')]).toEqual([10, true]);
    expect(await certificates()).toEqual([]);
    expect(await readFile(config, 'utf8')).toBe(before);
    expect(await shown()).toBe('ECONNREFUSED');
    expect((await host.cli(['cert', 'rm', HOST])).stderr).toContain('ZDD_CERT_UNKNOWN');
  });

  test('opens https by one reload; http leads there, and browsers are told to stay', async () => {
    const added = await add(await ca.issue([HOST, 'www.example.com']));
    expect(added).toMatchObject({ code: 0, stderr: expect.stringContaining('reloaded') });
    expect(added.stdout).toMatch(/^shop.example.com, www.example.com: this certificate is shown/);
    const { status, headers } = await getHttp2(port, HOST, ca.root);
    expect([status, headers['strict-transport-security']]).toEqual([
      200,
      'max-age=34560000; includeSubDomains; preload',
    ]);
    // HAProxy's own answers too; those without TLS never.
    const nobody = await getHttp2(port, HOST, ca.root, '/.well-known/acme-challenge/x');
    expect(nobody.headers['strict-transport-security']).toBeDefined();
    expect(await byHttp()).toEqual({ status: 301, location: `https://${HOST}/a?b=c` });
    const listed = await host.cli(['cert', 'ls']);
    expect(listed.stdout).toMatch(
      /names +left +key +issued by +from\nshop.example.com +89d +EC P-256 +Test CA +pushed by/,
    );
    expect((await host.app('shop'))?.tls).toMatchObject({ expiry: 'good' });
    expect((await host.cli(['status'])).stdout).toMatch(/warm +tls\nshop .* 89d$/m);
  });

  test('renews under load: nothing lost, no reload at runtime, new handshakes see it at once', async () => {
    const before = await reloads();
    const load = startTlsLoad(port, HOST, ca.root);
    for (let round = 0; round < 4; round += 1) {
      const next = await ca.issue([HOST, 'www.example.com']);
      const added = await add(next);
      expect(added.stdout).toContain('instead of the one before');
      expect(added.stderr.includes('reloaded')).toBe(BY_RELOAD);
      const [kept, ...others] = await certificates();
      expect(others).toEqual([]);
      expect((await shown()).endsWith(kept?.id ?? 'none')).toBe(false);
      expect((await add(next)).stdout).toContain('is shown already');
    }
    const outcomes = await load.stop();
    expect(outcomes.length).toBeGreaterThan(50);
    expect(outcomes.filter((outcome) => outcome !== '200')).toEqual([]);
    expect(new Set(load.shown).size).toBeGreaterThan(3);
    if (!BY_RELOAD) expect(await reloads()).toBe(before);
  });

  test('keeps the key out of everything but the database and the file of HAProxy', async () => {
    const secret = await ca.issue(['secret.example.com']);
    expect((await add(secret)).code).toBe(0);
    const lines = secret.key.split('\n').filter((line) => line.length > 40);
    const said = [
      await host.log(),
      JSON.stringify(await host.events()),
      (await host.cli(['audit', '--json'])).stdout,
      (await host.cli(['cert', 'ls', '--json'])).stdout,
      (await host.cli(['doctor', '--json'])).stdout,
    ].join('\n');
    for (const line of lines) expect(said).not.toContain(line);
    expect((await host.cli(['audit'])).stdout).toContain('cert-add');
    const entries = await readdir(host.dir, { recursive: true, withFileTypes: true });
    let holders = 0;
    for (const entry of entries.filter((each) => each.isFile())) {
      const path = join(entry.parentPath, entry.name);
      if (!(await readFile(path, 'latin1')).includes(lines[0] ?? 'none')) continue;
      holders += 1;
      expect([path, (await stat(path)).mode & 0o077]).toEqual([path, 0]);
    }
    expect(holders).toBeGreaterThan(0);
    expect((await host.cli(['cert', 'rm', 'secret.example.com'])).code).toBe(0);
    expect(await shown('secret.example.com')).toBe('ERR_SSL_TLSV1_UNRECOGNIZED_NAME');
  });

  test('killed at any moment ends with one of the two, everywhere the same', async () => {
    const load = startTlsLoad(port, HOST, ca.root, 4);
    for (let round = 0; round < 6; round += 1) {
      const next = await ca.issue([HOST, 'www.example.com']);
      const pair = await writePair(ca.folder, `killed${round}`, next);
      const folder = join(host.stateDir, 'haproxy', 'zdd-certs');
      const adding = host.cli(['cert', 'add', ...pair]);
      let ended = false;
      void adding.then(() => {
        ended = true;
      });
      // From its file on there is something to be cut; each round a little later.
      while (!ended && (await readdir(folder)).length < 2) await sleep(1);
      await sleep(round * 5);
      await host.stopDaemon('SIGKILL');
      await adding;
      await host.startDaemon();
      const doctor = await host.cli(['doctor']);
      expect(doctor.stdout).toContain('agree');
      const [kept, ...others] = await certificates();
      expect(others).toEqual([]);
      expect(await readdir(folder)).toEqual([`${kept?.id}.pem`]);
      expect(await shown()).toMatch(/^([0-9A-F]{2}:){19}/);
    }
    expect((await load.stop()).filter((outcome) => outcome !== '200')).toEqual([]);
  });
});

describe('files of agent.yaml', () => {
  test('are shown, read again when they change, and kept when they are damaged', async () => {
    const first = await ca.issue(['files.example.com']);
    const [cert, key] = await writePair(ca.folder, 'files', first);
    await configure((settings) => {
      Object.assign(settings, { certificates: [{ cert, key }] });
    });
    const isShown = async () => /^([0-9A-F]{2}:){19}/.test(await shown('files.example.com'));
    await host.until('the file to be shown', 30_000, isShown);
    const before = await shown('files.example.com');
    await writePair(ca.folder, 'files', await ca.issue(['files.example.com']));
    await host.until(
      'the new file to be shown',
      30_000,
      async () => (await shown('files.example.com')) !== before,
    );
    const now = await shown('files.example.com');
    await writeFile(key, 'damaged');
    await host.until('status to say so', 30_000, async () =>
      (await host.cli(['status'])).stdout.includes('what was there before is shown on'),
    );
    await host.stopDaemon('SIGTERM');
    await host.startDaemon();
    expect(await shown('files.example.com')).toBe(now);
    expect((await host.cli(['cert', 'rm', 'files.example.com'])).code).toBe(2);
    await configure((settings) => {
      Object.assign(settings, { certificates: [] });
    });
    await host.until('it to be gone', 30_000, async () => !(await isShown()));
    expect(await shown()).toMatch(/^([0-9A-F]{2}:){19}/);
  });
});

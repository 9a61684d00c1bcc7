import { readFile, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Authority, authority, writePair } from '../haproxy/certificates.ts';
import { freePort } from '../haproxy/harness.ts';
import { shake, startTlsLoad } from '../haproxy/tls/clients.ts';
import { type AcmeServer, answersIn, startAcmeServer } from './pebble.ts';
import { BY_RELOAD, push, QUICK } from './shop.ts';

const SHOP = 'shop.example.com';
const BLOG = 'blog.example.com';
/** Renewed after 27 s, and good for 13 more. */
const LIFE_S = 40;

let ca: Authority;
let acme: AcmeServer;
let host: PrivateHost;
let port: number;
let root: string;

beforeAll(async () => {
  ca = await authority();
  // Where HAProxy listens is known once the host is laid out; the environment must be known before.
  const trusted = join(ca.folder, 'pebble-ca.pem');
  host = await PrivateHost.prepare({ env: { NODE_EXTRA_CA_CERTS: trusted } });
  acme = await startAcmeServer(ca, Number(new URL(host.url).port), LIFE_S);
  port = await freePort();
  const path = join(host.dir, 'agent.yaml');
  const settings = parse(await readFile(path, 'utf8'));
  settings.haproxy.bind_tls = [`127.0.0.1:${port}`];
  settings.acme = { directory: acme.directory, email: 'ops@example.com' };
  await writeFile(path, stringify(settings));
  await host.startDaemon();
  root = await acme.root();
});
afterAll(async () => {
  await host.remove();
  await acme.stop();
  await ca.remove();
});

/** Its fingerprint; the code of the error where there is no certificate. */
async function shown(name: string): Promise<string> {
  const found = await shake(port, name, root);
  return typeof found === 'string' ? found : found.fingerprint;
}
const isShown = async (name: string): Promise<boolean> =>
  /^([0-9A-F]{2}:){19}/.test(await shown(name));

async function byHttp(name: string): Promise<number | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  const sent = request(host.url, { headers: { host: name } }, (response) => {
    response.resume();
    resolve(response.statusCode);
  });
  sent.on('error', reject);
  sent.end();
  return await promise;
}

/** What the store keeps; the agent writes to it meanwhile. */
function rows(table: string): readonly Record<string, unknown>[] {
  const database = new DatabaseSync(join(host.stateDir, 'agent.db'), { readOnly: true });
  try {
    return database.prepare(`SELECT * FROM ${table}`).all();
  } finally {
    database.close();
  }
}

const asking = (...routes: string[]) => ({ routes, redirect: { https: true }, tls: 'acme' });

test('a host whose DNS is wrong: told with what the CA says, over restarts, and http serves on', async () => {
  const config = asking(SHOP);
  expect((await push(host, { behaviour: { version: 'v1' }, config })).code).toBe(0);
  const said = await host.until('status to say why', 60_000, async () => {
    const { stdout } = await host.cli(['status']);
    return stdout.includes('ZDD_ACME_FAILED') || stdout.includes('no certificate could be issued')
      ? stdout
      : false;
  });
  expect(said.replaceAll(/\s+/g, ' ')).toMatch(
    /no certificate could be issued for shop.example.com \(1 try, it has none\)/,
  );
  expect(said).toContain('zdd-agent cert renew shop.example.com');
  // Nobody is sent to https before there is a certificate.
  expect(await byHttp(SHOP)).toBe(200);
  expect(await shown(SHOP)).toBe('ERR_SSL_TLSV1_UNRECOGNIZED_NAME');
  await host.stopDaemon('SIGKILL');
  await host.startDaemon();
  // The next try waits as it did before, over a whole look or two.
  const [failure] = rows('acme_failures');
  await sleep(3_000);
  expect(rows('acme_failures')).toEqual([failure]);
  expect((await host.cli(['doctor'])).stdout).toContain('no certificate could be issued');
  expect(await answersIn(join(host.stateDir, 'haproxy'))).toEqual([]);
  expect((await host.cli(['cert', 'renew', 'nobody.example.com'])).stderr).toContain(
    'ZDD_CERT_UNKNOWN',
  );
});

test('is issued once it is right; then http leads to https, and account and keys are private', async () => {
  acme.names.add(SHOP);
  expect((await host.cli(['cert', 'renew', SHOP])).code).toBe(0);
  await host.until('the certificate', 60_000, () => isShown(SHOP));
  await host.until('the redirect', 20_000, async () => (await byHttp(SHOP)) === 301);
  expect(rows('acme_failures')).toEqual([]);
  const [account] = rows('acme_accounts');
  expect(account).toMatchObject({
    directory: acme.directory,
    url: expect.stringMatching(/^https:/),
  });
  expect((await stat(join(host.stateDir, 'agent.db'))).mode & 0o777).toBe(0o600);
  const secret = String(account?.['key']).split('\n')[1] ?? 'none';
  expect(await host.log()).not.toContain(secret);
  expect(JSON.stringify(await host.events())).not.toContain(secret);
  const listed = (await host.cli(['cert', 'ls'])).stdout;
  expect(listed).toMatch(/shop.example.com +\d+s +EC P-256/);
  expect((await host.cli(['cert', 'rm', SHOP])).code).toBe(2);
});

test('is renewed by itself under load, at runtime without a reload, and without a lost request', async () => {
  const reloads = async (): Promise<number> => (await host.log()).split('haproxy reloaded').length;
  const before = [await shown(SHOP), await reloads(), rows('acme_accounts')] as const;
  const load = startTlsLoad(port, SHOP, root, 4);
  await host.until('a renewal', 90_000, async () => (await shown(SHOP)) !== before[0]);
  const second = await shown(SHOP);
  await host.until('the one after', 90_000, async () => (await shown(SHOP)) !== second);
  expect((await load.stop()).filter((outcome) => outcome !== '200')).toEqual([]);
  expect(new Set(load.shown).size).toBeGreaterThan(1);
  if (!BY_RELOAD) expect(await reloads()).toBe(before[1]);
  expect(rows('acme_accounts')).toEqual(before[2]);
  expect(rows('certificates').length).toBe(1);
});

test('killed in the middle of an order, it is issued after the next start', async () => {
  acme.names.add(BLOG);
  const pushed = push(host, {
    behaviour: { version: 'b1' },
    config: { ...QUICK, app: 'blog', ...asking(BLOG) },
  });
  const folder = join(host.stateDir, 'haproxy');
  expect((await pushed).code).toBe(0);
  while ((await answersIn(folder)).length === 0 && !(await isShown(BLOG))) await sleep(1);
  await host.stopDaemon('SIGKILL');
  await host.startDaemon();
  await host.until('the certificate', 60_000, () => isShown(BLOG));
  await host.until(
    'no answer to be left',
    20_000,
    async () => (await answersIn(folder)).length === 0,
  );
});

test('a certificate that somebody brings is shown instead, and none is issued any more', async () => {
  const own = await ca.issue([BLOG]);
  const pair = await writePair(ca.folder, 'own', own);
  expect((await host.cli(['cert', 'add', ...pair])).code).toBe(0);
  const trusted = await shake(port, BLOG, ca.root);
  expect(trusted).toMatchObject({ names: BLOG });
  const before = await shown(SHOP);
  await host.until('the other to be renewed', 90_000, async () => (await shown(SHOP)) !== before);
  expect(await shake(port, BLOG, ca.root)).toEqual(trusted);
});

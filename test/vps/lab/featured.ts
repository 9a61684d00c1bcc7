import { join } from 'node:path';
import { certificatesReply } from '../../../agent/protocol/certificates.ts';
import { buildRelease, type ShopRelease } from '../../../examples/build-release.ts';
import { type Load, startLoad } from '../../../load/load.ts';
import { RUNS_ONCE } from '../../deploys/alone-app.ts';
import { type AcmeServer, startAcmeServer } from '../../deploys/pebble.ts';
import { type Authority, authority, type Issued, writePair } from '../../haproxy/certificates.ts';
import { shake, startTlsLoad, type TlsLoad } from '../../haproxy/tls/clients.ts';
import type { VpsHost } from './host.ts';
import { Laptop } from './laptop.ts';

/** The machine of the tests in the lab's network: the laptop, and whoever visits. */
export const HERE = '10.77.0.1';
const HTTPS = 443;
const LIFE_S = 3_600;

/** Sticky users, shadow traffic, a list of who may come, limits. */
export const SHOP = 'shop.example.com';
/** A password, https only, one name of two. */
export const STAGING = 'staging.example.com';
/** May not run twice; its certificate is issued. */
export const ALONE = 'alone.example.com';
/** Has a certificate from files of the host, and no app. */
export const FILES = 'files.example.com';

export const PAGE = '<p>Staging is full.</p>';
const QUICK = {
  bake: '300ms',
  warm: '0s',
  drain: { websockets: '2s', pace: '500/s' },
  smoke: [{ path: '/healthz', when: 'before' }],
};
const ledgerOf = (app: string): string => `/var/lib/zdd-agent/apps/${app}/shared/state/ledger`;
const state = (app: string) => ({
  shared: ['state/'],
  env: { ZDD_SHOP_LEDGER: ledgerOf(app) },
});

/** `anna`, whose password is `geheim`. */
const ANNA =
  'anna:$6$zddvps$Hq.ZEnXKfi8xDhLSWSbgvzOxeLu5UXlKhAb4t6FKBDhmkLICOjXruMoYmFN9g9HsXr0XJ4iXiZzrXy6JHKort1';
export const AS_ANNA = { authorization: `Basic ${btoa('anna:geheim')}` };

const APPS = {
  shop: {
    ...QUICK,
    ...state('shop'),
    app: 'shop',
    // What an older haproxy.cfg leads to is still there.
    warm: '10m',
    routes: [SHOP, '*'],
    access: { allow: [HERE] },
    tls: { hsts: '1h' },
    sticky: 'cookie',
    overload: { maxconn: 20, queue: '8s', slow_start: '100ms' },
    shadow: { share: '50%', for: '1s' },
    processes: { worker: { alive: '100ms' } },
  },
  staging: {
    ...QUICK,
    app: 'staging',
    routes: [STAGING, 'www.staging.example.com'],
    access: { basic_auth: [ANNA] },
    redirect: { https: true, canonical: STAGING },
    overload: { page: PAGE },
    processes: { web: { instances: 1 }, worker: null },
  },
  alone: {
    ...QUICK,
    ...state('alone'),
    app: 'alone',
    routes: [ALONE],
    tls: 'acme',
    hold: { within: '20s' },
    // Who waited comes at once, the slow ones of the load among them.
    gates: { p99: '20s' },
    processes: { web: { run: 'node alone.js', instances: 1, overlap: false }, worker: null },
  },
} as const;
export type AppName = keyof typeof APPS;

/** A host with an app for each thing that HAProxy does beside passing requests on. */
export class Featured implements AsyncDisposable {
  readonly host: VpsHost;
  readonly laptop: Laptop;
  readonly ca: Authority;
  readonly acme: AcmeServer;
  #pairs = 0;

  private constructor(host: VpsHost, laptop: Laptop, ca: Authority, acme: AcmeServer) {
    this.host = host;
    this.laptop = laptop;
    this.ca = ca;
    this.acme = acme;
  }

  static async on(host: VpsHost): Promise<Featured> {
    const [laptop, ca] = await Promise.all([Laptop.of(host), authority()]);
    const places = { own: HERE, host: host.address };
    const acme = await startAcmeServer(ca, 80, LIFE_S, places);
    acme.names.add(ALONE);
    const featured = new Featured(host, laptop, ca, acme);
    await host.write('/etc/ssl/test-ca.pem', ca.root);
    await featured.writeFiles(await ca.issue([FILES]));
    await host.must(`mkdir -p /etc/systemd/system/zdd-agentd.service.d
      printf '[Service]\\nEnvironment=NODE_EXTRA_CA_CERTS=/etc/ssl/test-ca.pem\\n' >/etc/systemd/system/zdd-agentd.service.d/ca.conf
      cat >>/etc/zdd-agent/agent.yaml <<END
acme: { directory: '${acme.directory}' }
certificates: [{ cert: /etc/ssl/files.pem, key: /etc/ssl/private/files.key }]
END
      systemctl daemon-reload && systemctl restart zdd-agentd`);
    return featured;
  }

  /** The files that agent.yaml names, the key for root and the agent. */
  async writeFiles({ chain, key }: Issued): Promise<void> {
    await this.host.must('install -d -m 751 /etc/ssl/private');
    await this.host.must(
      'umask 077; cat >/etc/ssl/private/files.key; chgrp zdd-agent /etc/ssl/private/files.key; chmod 640 /etc/ssl/private/files.key',
      { input: key },
    );
    await this.host.write('/etc/ssl/files.pem', chain);
  }

  /** Pushes from the laptop and returns what that said. */
  async push(app: AppName, behaviour: ShopRelease['behaviour']): Promise<string> {
    return await this.laptop.must('push', await this.build(app, behaviour));
  }

  async build(app: AppName, behaviour: ShopRelease['behaviour']): Promise<string> {
    const { path } = await buildRelease(join(this.laptop.home, app), {
      behaviour,
      config: APPS[app],
      files: app === 'alone' ? { 'alone.js': RUNS_ONCE } : {},
    });
    return path;
  }

  /** `zdd-agent cert add` from the laptop. */
  async addCertificate(...names: string[]): Promise<string> {
    this.#pairs += 1;
    const pair = await writePair(
      this.laptop.home,
      `pair${this.#pairs}`,
      await this.ca.issue(names),
    );
    return await this.laptop.must('cert', 'add', ...pair);
  }

  async certificates() {
    const { stdout } = await this.laptop.run('cert', 'ls', '--json');
    return certificatesReply.parse(JSON.parse(stdout)).certificates;
  }

  /** Fingerprint of what a new handshake for a name is shown; the code of the error without. */
  async shown(name: string): Promise<string> {
    const root = name === ALONE ? await this.acme.root() : this.ca.root;
    const found = await shake(HTTPS, name, root, {}, this.host.address);
    return typeof found === 'string' ? found : found.fingerprint;
  }

  async isShown(name: string): Promise<boolean> {
    return /^([0-9A-F]{2}:){19}/.test(await this.shown(name));
  }

  /** Instances of the app that may not run twice that found another one. */
  async startedTwice(): Promise<string> {
    return (await this.host.run(`cat ${ledgerOf('alone')}.twice 2>/dev/null`)).stdout;
  }

  /** Recorded load on an app, of every kind. */
  async load(app: 'shop' | 'alone'): Promise<Load> {
    const load = startLoad({
      url: this.host.url,
      hostHeader: app === 'shop' ? SHOP : ALONE,
      rate: 60,
      mix: { busy: 4, idle: 6, fresh: 2, slow: 4, upload: 2, stream: 2 },
      websockets: app === 'shop' ? 4 : 0,
      ledger: join(this.host.root, ledgerOf(app)),
      deadlineMs: 30_000,
      closedByDrain: () => true,
    });
    await load.ready(30_000);
    return load;
  }

  /** Recorded load over TLS, on new connections and on kept ones. */
  tlsLoad(): TlsLoad {
    return startTlsLoad(HTTPS, SHOP, this.ca.root, 2, this.host.address);
  }

  /** The processes of HAProxy: the master, then its workers. */
  async haproxy(): Promise<string> {
    return await this.host.must(
      'pid=$(systemctl show -P MainPID haproxy); echo $pid; pgrep -P $pid | sort',
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.laptop[Symbol.asyncDispose]();
    await this.acme.stop();
    await this.ca.remove();
  }
}

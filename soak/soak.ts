import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ZddEvent } from '../agent/protocol/events.ts';
import { type CliResult, PrivateHost } from '../demo/private-host.ts';
import { buildRelease, type ConfigOverrides } from '../examples/build-release.ts';
import { type Load, startLoad } from '../load/load.ts';
import { now } from '../load/outcome.ts';
import type { LoadReport } from '../load/report.ts';
import { type Authority, authority, writePair } from '../test/haproxy/certificates.ts';
import { freePort } from '../test/haproxy/harness.ts';
import { CHANGES, type Field } from './changes.ts';
import { DISTURBANCES, type Disturbance, type Outage, processesOf } from './disturbances.ts';
import { type CloseCause, closeJudge, metOutage } from './judge.ts';
import { Random } from './random.ts';
import { TlsClients } from './tls.ts';
import { Watch } from './watch.ts';

/** The name that is asked for by https. */
const TLS_NAME = 'shop.example.com';
const RATE = 150;
const WEBSOCKETS = 20;
/** As many old workers as may stand, and what may exceed it: the current one, and admins who do not ask. */
const MAX_OLD_WORKERS = 8;
const WORKERS_BOUND = MAX_OLD_WORKERS + 6;
const AGENT_RSS_BOUND_MB = 320;
const CHANGE_PAUSE_MS = { least: 100, most: 1_500 };
const DISTURBANCE_PAUSE_MS = { least: 1_000, most: 8_000 };
/** The end: drains have 3 s, idle clients of old workers 30. */
const SETTLE_MS = 90_000;
/** How far around a loss events are shown, ms. */
const AROUND_MS = 8_000;

/** Times short enough for many releases, long enough that some are still warm. */
const TIMES: ConfigOverrides = {
  bake: '500ms',
  warm: '4s',
  drain: { websockets: '3s', pace: '200/s' },
  processes: { worker: { alive: '100ms' } },
};

export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly switchBy: 'runtime' | 'reload';
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** What `--json` prints. */
export interface SoakResult {
  readonly requests: number;
  readonly lost: number;
  readonly wsOpened: number;
  readonly wsCutEarly: number;
  readonly deploys: number;
  readonly reloads: number;
  readonly haproxyKills: number;
  readonly workersMax: number;
  readonly agentRssMaxMb: number;
  /** Under way while HAProxy was dead. */
  readonly lostAtKills: number;
  readonly wsCutAtKills: number;
  /** Of workers that were too many. */
  readonly wsClosedForRoom: number;
  readonly changes: Readonly<Record<string, number>>;
  /** Changes that the host refused because something was killed meanwhile. */
  readonly changesHit: number;
  readonly agentKills: number;
  readonly seed: number;
  readonly minutes: number;
  readonly switch: 'runtime' | 'reload';
  /** Empty when everything held. */
  readonly broken: readonly string[];
}

/** One run on a host of its own, which is gone afterwards. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const tlsPort = await freePort();
  const ca = await authority();
  const host = await PrivateHost.start({
    haproxy: {
      switch: options.switchBy,
      max_old_workers: MAX_OLD_WORKERS,
      bind_tls: [`127.0.0.1:${tlsPort}`],
    },
  });
  try {
    return await new Run(host, options, ca, tlsPort).play();
  } finally {
    await host.remove();
    await ca.remove();
  }
}

class Run {
  readonly #host: PrivateHost;
  readonly #options: SoakOptions;
  readonly #ca: Authority;
  readonly #tlsPort: number;
  readonly #watch = new Watch();
  readonly #outages: Outage[] = [];
  readonly #disturbed: { readonly name: Disturbance['name']; readonly outage: Outage }[] = [];
  readonly #changes = new Map<string, number>();
  readonly #broken: string[] = [];
  #changesHit = 0;

  constructor(host: PrivateHost, options: SoakOptions, ca: Authority, tlsPort: number) {
    this.#host = host;
    this.#options = options;
    this.#ca = ca;
    this.#tlsPort = tlsPort;
  }

  async play(): Promise<SoakResult> {
    const { minutes, seed, signal } = this.#options;
    const field = await this.#lay(seed);
    const [first = ''] = field.releases;
    const [certificate = []] = field.certificates;
    await this.#must(await this.#host.cli(['push', first]), 'the first push');
    await this.#must(
      await this.#host.cli(['cert', 'add', ...certificate]),
      'the first certificate',
    );
    const load = startLoad({
      url: this.#host.url,
      rate: RATE,
      websockets: WEBSOCKETS,
      ledger: join(this.#host.dir, 'ledger'),
      maxRequests: 5_000_000,
    });
    const tls = new TlsClients(this.#tlsPort, TLS_NAME, this.#ca.root);
    const ended = new AbortController();
    const watching = this.#watch.run(this.#host, ended.signal);
    try {
      await load.ready(30_000);
      const until = now() + minutes * 60_000;
      await Promise.all([this.#change(field, until), this.#disturb(new Random(~seed), until)]);
      signal.throwIfAborted();
      await this.#settle();
      const report = await load.stop();
      await tls.stop();
      return await this.#result(report, load, tls);
    } finally {
      ended.abort();
      await tls.stop();
      await load.stop(0);
      await watching;
    }
  }

  /** Releases that differ in what a switch has to do: servers alone, routes, the shape. */
  async #lay(seed: number): Promise<Field> {
    const folder = join(this.#host.dir, 'artifacts');
    const env = { ZDD_SHOP_LEDGER: join(this.#host.dir, 'ledger') };
    const build = async (version: string, config: ConfigOverrides): Promise<string> =>
      (await buildRelease(folder, { behaviour: { version }, config: { ...TIMES, ...config } }))
        .path;
    const shop = (version: string, config: ConfigOverrides) => build(version, { env, ...config });
    const certificate = async (name: string) =>
      writePair(this.#ca.folder, name, await this.#ca.issue([TLS_NAME]));
    const neighbour = (version: string, routes: readonly string[]) =>
      build(version, { app: 'blog', routes, processes: { worker: null } });
    return {
      host: this.#host,
      random: new Random(seed),
      releases: await Promise.all([
        shop('a', {}),
        shop('b', {}),
        shop('routed', { routes: ['*', 'shop.example.com', '*.shop.example.com/far'] }),
        shop('shaped', { processes: { web: { health: { path: '/healthz?deep' } } } }),
      ]),
      neighbours: await Promise.all([
        neighbour('blog-a', ['blog.example.com']),
        neighbour('blog-b', ['blog.example.com', '*.blog.example.com']),
      ]),
      // One after the other: what issues them numbers them.
      certificates: [await certificate('one'), await certificate('two')],
    };
  }

  async #change(field: Field, until: number): Promise<void> {
    const { random } = field;
    for (const change of random.rounds(CHANGES)) {
      if (now() > until || this.#options.signal.aborted) return;
      const from = now();
      const result = await change.run(field);
      const said = `${change.name} ${result.code === 0 ? 'ok' : `code ${result.code}`}`;
      this.#options.say(`${said}, ${Math.round(now() - from)} ms`);
      this.#changes.set(change.name, (this.#changes.get(change.name) ?? 0) + 1);
      if (result.code !== 0) this.#judgeFailure(change.name, result, from);
      await sleep(random.between(CHANGE_PAUSE_MS.least, CHANGE_PAUSE_MS.most));
    }
  }

  /** Who is killed may fail; nobody else. There may be nothing to go back to yet. */
  #judgeFailure(name: string, { stderr }: CliResult, from: number): void {
    if (name === 'rollback' && /ZDD_NOTHING_TO_ROLL_BACK|ZDD_RELEASE_UNKNOWN/.test(stderr)) return;
    const hit = this.#disturbed.some(
      (one) => one.name !== 'reload' && one.outage.toMs >= from - 5_000,
    );
    if (hit) this.#changesHit += 1;
    else this.#broken.push(`${name} failed and nothing had been killed: ${stderr.slice(0, 600)}`);
  }

  async #disturb(random: Random, until: number): Promise<void> {
    const { least, most } = DISTURBANCE_PAUSE_MS;
    for (const disturbance of random.rounds(DISTURBANCES)) {
      const waitMs = random.between(least, most);
      if (now() + waitMs > until || this.#options.signal.aborted) return;
      await sleep(waitMs);
      const fromMs = now();
      // Known before it is over: what fails meanwhile asks for it.
      const entry = { name: disturbance.name, outage: { fromMs, toMs: Number.POSITIVE_INFINITY } };
      this.#disturbed.push(entry);
      const outage = await disturbance.run(this.#host, random);
      entry.outage.toMs = now();
      if (outage !== undefined) this.#outages.push(outage);
      const away =
        outage === undefined ? '' : `, away for ${Math.round(outage.toMs - outage.fromMs)} ms`;
      this.#options.say(`  ${disturbance.name}${away}`);
    }
  }

  /** Nothing is left of any release but those that serve, and nothing differs. */
  async #settle(): Promise<void> {
    await this.#host.until('everything to come to rest', SETTLE_MS, async () => {
      const apps = await Promise.all(['shop', 'blog'].map((name) => this.#host.app(name)));
      return apps.every(
        (app) => app === undefined || (app.deployment === null && app.generations.length <= 1),
      );
    });
    const { code, stdout } = await this.#host.cli(['doctor']);
    if (code !== 0) this.#broken.push(`doctor ends with ${code}:\n${stdout}`);
    await this.#host.until('the old workers to be gone', SETTLE_MS, async () => {
      const { old } = await processesOf(this.#host);
      return old.length <= MAX_OLD_WORKERS;
    });
  }

  async #result(report: LoadReport, load: Load, tls: TlsClients): Promise<SoakResult> {
    const { minutes, seed, switchBy } = this.#options;
    const events = await this.#host.events();
    const everyLoss = [...report.losses, ...tls.losses];
    const lost = everyLoss.filter((loss) => !metOutage(loss, this.#outages));
    const causeOf = closeJudge(events, this.#outages, this.#watch.seen, MAX_OLD_WORKERS);
    const closes = load.websocketCloses.filter(({ byClient }) => !byClient);
    const caused = (cause: CloseCause): number =>
      closes.filter((close) => causeOf(close) === cause).length;
    const { workersMax, agentRssMaxMb } = this.#watch;
    const times = (name: Disturbance['name']): number =>
      this.#disturbed.filter((one) => one.name === name).length;
    const own = (await this.#host.log()).split('"haproxy reloaded"').length - 1;
    this.#claim(lost.length === 0, `lost ${lost.length}: ${JSON.stringify(lost.slice(0, 5))}`);
    this.#claim(report.lost <= report.losses.length, 'more was lost than is kept');
    const early = closes.filter((close) => causeOf(close) === 'none');
    this.#claim(early.length === 0, `cut early: ${JSON.stringify(early.slice(0, 5))}`);
    for (const at of [lost[0]?.end, early[0]?.closedAt]) this.#tellAround(events, at);
    this.#claim(report.websockets.gaps === 0, `${report.websockets.gaps} gaps in WebSockets`);
    this.#claim(report.ledger?.duplicates.length === 0, 'an upload was sent twice');
    this.#claim(report.appErrors === 0, `${report.appErrors} answers of the app were errors`);
    this.#claim(workersMax <= WORKERS_BOUND, `${workersMax} workers (bound ${WORKERS_BOUND})`);
    this.#claim(
      agentRssMaxMb <= AGENT_RSS_BOUND_MB,
      `agent ${agentRssMaxMb} MB (bound ${AGENT_RSS_BOUND_MB})`,
    );
    return {
      requests: report.requests + tls.requests,
      lost: lost.length,
      wsOpened: report.websockets.opened,
      wsCutEarly: early.length,
      deploys: this.#changes.get('deploy') ?? 0,
      reloads: own + times('reload'),
      haproxyKills: times('haproxyKill'),
      workersMax,
      agentRssMaxMb,
      lostAtKills: everyLoss.length - lost.length,
      wsCutAtKills: caused('outage'),
      wsClosedForRoom: caused('room'),
      changes: Object.fromEntries(this.#changes),
      changesHit: this.#changesHit,
      agentKills: times('agentKill'),
      seed,
      minutes,
      switch: switchBy,
      broken: this.#broken,
    };
  }

  /** What the host had told when it happened, for who has to find out why. */
  #tellAround(events: readonly ZddEvent[], at: number | undefined): void {
    if (at === undefined) return;
    for (const told of events) {
      if (told.type === 'progress' || Math.abs(told.at - at) > AROUND_MS) continue;
      this.#options.say(`${Math.round(told.at - at)} ms: ${JSON.stringify(told).slice(0, 300)}`);
    }
  }

  #claim(holds: boolean, otherwise: string): void {
    if (!holds) this.#broken.push(otherwise);
  }

  async #must({ code, stderr }: CliResult, what: string): Promise<void> {
    if (code !== 0) throw new Error(`${what} ended with ${code}: ${stderr}`);
  }
}

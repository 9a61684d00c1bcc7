import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { AppStatus } from '../../../agent/protocol/api.ts';
import { event, type ZddEvent } from '../../../agent/protocol/events.ts';
import { statusReply } from '../../../agent/protocol/status.ts';
import type { ConfigOverrides, ShopRelease } from '../../../examples/build-release.ts';
import { type Load, type LoadOptions, startLoad } from '../../../load/load.ts';
import type { WebSocketClose } from '../../../load/websocket.ts';
import type { CommandResult, VpsHost } from './host.ts';

const LEDGER = '/var/lib/zdd-agent/apps/shop/shared/ledger';

const DRAIN_MS = 2_000;
/** Between the last answer of a release and the drain that begins, ms. */
const SLACK_MS = 500;

/** Times short enough for tests; nothing is measured by them. */
const QUICK: ConfigOverrides = {
  bake: '300ms',
  warm: '0s',
  drain: { websockets: `${DRAIN_MS}ms`, pace: '500/s' },
  processes: { worker: { alive: '100ms' } },
  // What is slow here is the machine, with all its other hosts.
  gates: { p99: '30s' },
  shared: ['ledger/'],
  env: { ZDD_SHOP_LEDGER: LEDGER },
};

/** The example app on a host, pushed with the host's own CLI by a user of the group `zdd`. */
export class Shop {
  readonly host: VpsHost;

  constructor(host: VpsHost) {
    this.host = host;
  }

  /** Builds a release and copies it over. */
  async build(release: ShopRelease): Promise<string> {
    return await this.host.putRelease({ ...release, config: { ...QUICK, ...release.config } });
  }

  /** Pushes and waits for the end. */
  async push(release: ShopRelease, options = ''): Promise<CommandResult> {
    const path = await this.build(release);
    return await this.host.as('deploy', `zdd-agent push ${path} ${options}`);
  }

  /** Pushes and expects success. */
  async deploy(version: string, config: ConfigOverrides = {}): Promise<void> {
    const { code, stdout, stderr } = await this.push({ behaviour: { version }, config });
    expect(code, stdout + stderr).toBe(0);
  }

  /** Pushes, lets go and waits until the deployment is in this phase. Returns the events so far. */
  async pushUntil(phase: string, release: ShopRelease): Promise<Deploying> {
    const path = await this.build(release);
    const since = (await this.events()).at(-1)?.seq ?? 0;
    const { code, stdout, stderr } = await this.host.as(
      'deploy',
      `zdd-agent push ${path} --detach`,
    );
    expect(code, stdout + stderr).toBe(0);
    const deploying = new Deploying(this, since);
    await deploying.reaches(phase);
    return deploying;
  }

  async app(): Promise<AppStatus | undefined> {
    const text = await this.host.must('zdd-agent status --json');
    return statusReply.parse(JSON.parse(text)).apps.find(({ app }) => app === 'shop');
  }

  async events(since = 0): Promise<ZddEvent[]> {
    const { code, stdout } = await this.host.run(`zdd-agent events --json --since ${since}`);
    if (code !== 0) return [];
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => event.parse(JSON.parse(line)));
  }

  /** Waits until the stable release alone is left, with every instance running. */
  async settled(withinMs = 40_000): Promise<void> {
    await this.host.until('the stable release to be alone', withinMs, async () => {
      const app = await this.app();
      return (
        app?.deployment === null &&
        app.generations.length === 1 &&
        app.generations.every(({ instances }) =>
          instances.every(({ state }) => state === 'running'),
        )
      );
    });
  }

  /** Traffic of every kind, WebSockets too. Ready when each kind has had an answer. */
  async load(options: Partial<LoadOptions> = {}): Promise<Load> {
    const judged = new WeakMap<WebSocketClose, boolean>();
    const load: Load = startLoad({
      url: this.host.url,
      rate: 120,
      websockets: 10,
      ledger: join(this.host.root, LEDGER),
      closedByDrain: (close) => {
        const due = judged.get(close) ?? wasDue(load, close);
        judged.set(close, due);
        return due;
      },
      ...options,
    });
    await load.ready(30_000);
    return load;
  }
}

/** A deployment that goes on by itself. */
export class Deploying {
  readonly #shop: Shop;
  readonly #since: number;

  constructor(shop: Shop, since: number) {
    this.#shop = shop;
    this.#since = since;
  }

  async reaches(phase: string, withinMs = 40_000): Promise<void> {
    await this.#shop.host.until(`the phase ${phase}`, withinMs, async () =>
      (await this.#events()).some((told) => told.type === 'phase_changed' && told.to === phase),
    );
  }

  /** Waits for the end and returns how it ended: `succeeded`, `failed`, ... */
  async end(withinMs = 60_000): Promise<string> {
    let outcome = '';
    await this.#shop.host.until('the deployment to end', withinMs, async () => {
      const ended = (await this.#events()).find((told) => told.type === 'deployment_ended');
      if (ended?.type === 'deployment_ended') outcome = ended.receipt.outcome;
      return outcome !== '';
    });
    return outcome;
  }

  async #events(): Promise<ZddEvent[]> {
    return await this.#shop.events(this.#since);
  }
}

/**
 * A WebSocket may be closed `drain.websockets` after its release was left. When that was is read off
 * the answers, because the clock of the agent jumps in these tests; of new connections only, because
 * an idle one kept alive by HAProxy's old worker still has its last request answered by the old release.
 */
function wasDue(load: Load, { release, closedAt }: WebSocketClose): boolean {
  const from = closedAt - DRAIN_MS + SLACK_MS;
  for (const row of load.rows()) {
    if (row.reused || row.release !== release) continue;
    if (row.start > from && row.start <= closedAt) return false;
  }
  return true;
}

/**
 * Waits for new good answers of every kind that is quick, so that a fault has been lived through.
 * @param more how many
 */
export async function goesOn(load: Load, withinMs = 30_000, more = 150): Promise<void> {
  const before = load.snapshot();
  const deadline = performance.now() + withinMs;
  for (;;) {
    const { requests, websocketMessages } = load.snapshot();
    const talks = before.websocketsOpen === 0 || websocketMessages > before.websocketMessages;
    if (requests > before.requests + more && talks) return;
    if (performance.now() > deadline) throw new Error('the load does not go on');
    await sleep(50);
  }
}

import { join } from 'node:path';
import type { Receipt } from '../agent/protocol/events.ts';
import {
  buildRelease,
  type ConfigOverrides,
  type ShopBehaviour,
} from '../examples/build-release.ts';
import { type Load, startLoad } from '../load/load.ts';
import type { WebSocketClose } from '../load/websocket.ts';
import type { PrivateHost } from './private-host.ts';

/** WebSockets that are open the whole time. */
export const WEBSOCKETS = 200;

const APP = 'shop';

/** Short enough for a demo; a real app keeps the defaults. */
const TIMES: ConfigOverrides = {
  bake: '4s',
  warm: '40s',
  drain: { websockets: '40s', pace: '50/s' },
};

/** One deployment of the play, with the time it took place in. */
export interface Played {
  readonly receipt: Receipt;
  /** ms since the epoch. */
  readonly from: number;
  readonly to: number;
}

/** Prints a line for people. */
export type Say = (text: string) => void;

/** The five acts, played while traffic runs. What was promised and did not happen is an error. */
export class Play {
  readonly #host: PrivateHost;
  readonly #say: Say;
  readonly #ledger: string;
  readonly played: Played[] = [];
  #load: Load | null = null;
  #drainedFrom = new Map<string, number[]>();

  constructor(host: PrivateHost, say: Say) {
    this.#host = host;
    this.#say = say;
    this.#ledger = join(host.dir, 'ledger');
  }

  get load(): Load {
    if (this.#load === null) throw new Error('no traffic yet');
    return this.#load;
  }

  async run(): Promise<void> {
    await this.#normalRelease();
    await this.#neverHealthy();
    await this.#failsUnderTraffic();
    await this.#rollbackAndAgain();
    await this.#killedInTheMiddle();
    await this.#lastConnections();
  }

  async #normalRelease(): Promise<void> {
    this.#act('1  v1, then v2: a normal release');
    await this.#push({ version: 'v1' }, 'succeeded');
    this.#load = startLoad({
      url: this.#host.url,
      rate: 500,
      websockets: WEBSOCKETS,
      wsIntervalMs: 250,
      ledger: this.#ledger,
      closedByDrain: (close) => this.#wasDue(close),
    });
    await this.#load.ready(20_000);
    this.#say(
      `  traffic runs: ${WEBSOCKETS} WebSockets, keep-alive, fresh, slow, uploads, streams`,
    );
    await this.#push({ version: 'v2' }, 'succeeded');
  }

  async #neverHealthy(): Promise<void> {
    this.#act('2  v3 never becomes healthy: refused, traffic untouched');
    const receipt = await this.#push({ version: 'v3', health: 'never' }, 'failed', [
      '--probe-timeout',
      '3s',
    ]);
    expect(receipt.error?.code === 'ZDD_PROBE_TIMEOUT', 'v3 is refused by its probe');
  }

  async #failsUnderTraffic(): Promise<void> {
    this.#act('3  v4 passes its probe and fails under traffic: rolled back by itself');
    const receipt = await this.#push({ version: 'v4', failAfterRequests: 40 }, 'rolled_back');
    // Whichever sees it first: a gate by the traffic, or a smoke check through HAProxy.
    const seen = receipt.error?.code ?? '';
    expect(/^ZDD_(GATE|SMOKE)_FAILED$/.test(seen), 'v4 is rolled back by what it does to users');
  }

  async #rollbackAndAgain(): Promise<void> {
    this.#act('4  back to v1 while it is warm, then v2 again');
    const rollback = await this.#command(['rollback', '--app', APP], 'succeeded');
    const [v1] = this.played;
    expect(rollback.release === v1?.receipt.release, 'the rollback leads to v1');
    const again = await this.#push({ version: 'v2' }, 'succeeded');
    expect(
      again.release === this.played[1]?.receipt.release,
      'the same bytes are the same release: no second copy',
    );
  }

  async #killedInTheMiddle(): Promise<void> {
    for (const phase of ['probing', 'baking'] as const) {
      this.#act(`5  the daemon is killed (SIGKILL) while v5 is ${phase}`);
      const from = Date.now();
      const behaviour = { version: `v5-${phase}`, slowStartMs: 1_000 };
      const { path } = await this.#build(behaviour);
      const pushed = await this.#host.cli(['push', path, '--detach', '--json']);
      expect(pushed.code === 0, `push --detach starts: ${pushed.stderr}`);
      await this.#host.until(`v5 to be ${phase}`, 20_000, async () => {
        const app = await this.#host.app(APP);
        return app?.deployment?.phase === phase;
      });
      await this.#host.stopDaemon('SIGKILL');
      this.#say('  daemon killed; HAProxy and the instances run on');
      await this.#host.startDaemon();
      const id = this.#nextId();
      const receipt = await this.#host.receipt(APP, id);
      this.#played(receipt, from);
      this.#say(`  daemon back: #${id} ${receipt.outcome}`);
      expect(receipt.outcome === 'succeeded', 'the cut deployment is finished');
    }
  }

  /** Old releases are stopped only when nothing uses them; wait for that, it is part of the play. */
  async #lastConnections(): Promise<void> {
    this.#act('6  the last WebSockets of old releases are closed at 50/s, then these stop');
    await this.#host.until('every old release to be stopped', 90_000, async () => {
      const app = await this.#host.app(APP);
      return app?.generations.length === 1;
    });
    for (const told of await this.#host.events()) {
      if (told.type !== 'draining') continue;
      const times = this.#drainedFrom.get(told.release) ?? [];
      this.#drainedFrom.set(told.release, [...times, told.closingFrom]);
    }
  }

  /** A WebSocket may be closed by the server from the drain deadline of its release on. */
  #wasDue({ release, closedAt }: WebSocketClose): boolean {
    const deadlines = this.#drainedFrom.get(release) ?? [];
    return deadlines.some((deadline) => closedAt >= deadline);
  }

  async #build(behaviour: ShopBehaviour): ReturnType<typeof buildRelease> {
    const config = { ...TIMES, env: { ZDD_SHOP_LEDGER: this.#ledger } };
    return await buildRelease(join(this.#host.dir, 'artifacts'), { behaviour, config });
  }

  async #push(
    behaviour: ShopBehaviour,
    outcome: Receipt['outcome'],
    options: readonly string[] = [],
  ): Promise<Receipt> {
    const { path } = await this.#build(behaviour);
    return await this.#command(['push', path, ...options], outcome);
  }

  async #command(args: readonly string[], outcome: Receipt['outcome']): Promise<Receipt> {
    const from = Date.now();
    const shown = args.map((arg) => arg.replace(`${this.#host.dir}/artifacts/`, ''));
    this.#say(`  $ zdd-agent ${shown.join(' ')}`);
    const { code } = await this.#host.cli(args, (text) => this.#say(indent(text)));
    const receipt = await this.#host.receipt(APP, this.#nextId());
    this.#played(receipt, from);
    expect(receipt.outcome === outcome, `#${receipt.deployment} ends ${outcome} (exit ${code})`);
    return receipt;
  }

  #played(receipt: Receipt, from: number): void {
    this.played.push({ receipt, from, to: Date.now() });
  }

  #nextId(): number {
    return this.played.length + 1;
  }

  #act(title: string): void {
    this.#say(`\n${title}`);
  }
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Error(`the play went wrong: expected that ${what}`);
}

function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line}`.trimEnd())
    .join('\n');
}

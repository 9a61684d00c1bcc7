import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hadItsTime, type Move, movesOf } from '../deploys/moves.ts';
import { VpsHost } from './lab/host.ts';
import { goesOn, Shop } from './lab/shop.ts';

/** WebSockets may stay this long on instances that were replaced, ms: as the shop's zdd.yaml says. */
const STAY_MS = 2_000;

/** One distribution is enough: what systemd does for these verbs, deploys on both have shown. */
describe('restart, scale, stop and start, on bookworm', () => {
  let host: VpsHost;
  let shop: Shop;

  beforeAll(async () => {
    host = await VpsHost.installed('bookworm', 'verbs');
    shop = new Shop(host);
    await shop.deploy('first');
  });
  afterAll(async () => {
    await host?.down();
  });

  /** Runs a verb as an ordinary user of the group `zdd`. */
  async function run(verb: string): Promise<string> {
    const { code, stdout, stderr } = await host.as('deploy', `zdd-agent ${verb} --app shop`);
    expect(code, stdout + stderr).toBe(0);
    return stdout + stderr;
  }

  /** Units of the app that run, and that a boot would start. */
  async function units(): Promise<{ active: string[]; atBoot: string[] }> {
    const words = (text: string): string[] => text.split('\n').filter((word) => word !== '');
    return {
      active: words(
        await host.must(
          "systemctl list-units 'zdd-app-shop@*.service' --state=active --plain --no-legend | cut -d' ' -f1 | sort",
        ),
      ),
      atBoot: words(
        await host.must('ls /var/lib/zdd-agent/active | grep zdd-app-shop@ | sort || true'),
      ),
    };
  }

  async function status(): Promise<string> {
    return (
      await host.run("curl -s -o /dev/null -w '%{http_code}' http://localhost/")
    ).stdout.trim();
  }

  test('scale and restart under load: other units, not one request lost', async () => {
    // Each time the same release takes over from itself: what is due is told by the agent's events.
    let moves: readonly Move[] = [];
    const load = await shop.load({ closedByDrain: (close) => hadItsTime(close, moves, STAY_MS) });
    expect((await units()).active).toHaveLength(3);
    await run('scale web=3');
    await shop.settled();
    const scaled = await units();
    expect(scaled.active).toHaveLength(4);
    await run('restart');
    await shop.settled();
    const restarted = await units();
    expect(restarted.active).toHaveLength(4);
    expect(new Set([...restarted.active, ...scaled.active]).size).toBe(8);
    expect(restarted.atBoot).toEqual(restarted.active);
    await goesOn(load);
    await run('scale web=1');
    await shop.settled();
    expect((await units()).active).toHaveLength(2);
    await run('scale web=3');
    await shop.settled();
    moves = movesOf(await shop.events());
    const report = await load.stop();
    expect(report.websockets.closedByDrain).toBeGreaterThanOrEqual(30);
    expect(report.losses).toEqual([]);
    expect(report.websockets.cuts).toEqual([]);
    expect(report.ledger?.duplicates).toEqual([]);
    expect(report.ledger?.workerOverlaps).toBe(0);
  });

  test('the agent is killed in the middle of a restart: it is finished', async () => {
    const before = await units();
    await run('restart --bake 1s --detach');
    await host.until('it to bake', 20_000, async () => {
      return (await shop.app())?.deployment?.phase === 'baking';
    });
    await host.must('systemctl kill -s KILL zdd-agentd');
    await host.untilSucceeds('zdd-agent status', 30_000);
    await shop.settled();
    const after = await units();
    expect(after.active).toHaveLength(4);
    expect(after.active.filter((unit) => before.active.includes(unit))).toEqual([]);
  });

  test('the numbers are there after a reboot', async () => {
    await host.reboot();
    await host.untilSucceeds('zdd-agent status', 30_000);
    await shop.settled();
    expect((await units()).active).toHaveLength(4);
    expect(await run('status')).toContain('web 3/3, worker 1/1');
  });

  test('stopped is stopped, through a reboot; start brings it back', async () => {
    await run('stop');
    expect(await units()).toEqual({ active: [], atBoot: [] });
    expect(await status()).toMatch(/^503/);
    await host.reboot();
    await host.untilSucceeds('zdd-agent status', 30_000);
    expect(await units()).toEqual({ active: [], atBoot: [] });
    expect(await status()).toMatch(/^503/);
    expect((await host.run('systemctl --failed --no-legend')).stdout).toBe('');
    expect(await run('status')).toContain('stopped');
    await run('start');
    await shop.settled();
    expect((await units()).active).toHaveLength(4);
    expect(await status()).toMatch(/^200/);
    expect((await host.run('zdd-agent doctor')).code).toBe(0);
  });

  test('a power cut in the middle of a stop: the next boot finishes it', async () => {
    const slow = host.run('curl -s -m 20 http://localhost/slow?ms=8000');
    await host.until('the slow request to have begun', 10_000, async () => {
      const app = await shop.app();
      return (app?.generations ?? []).some(({ requests }) => (requests ?? 0) > 0);
    });
    await run('stop --detach');
    await host.until('it to drain', 20_000, async () => {
      return (await shop.app())?.deployment?.phase === 'draining';
    });
    await host.powerCut();
    await slow;
    await host.until('it to be stopped', 40_000, async () => (await shop.app())?.stopped != null);
    expect(await units()).toEqual({ active: [], atBoot: [] });
    await run('start');
    expect(await status()).toMatch(/^200/);
  });
});

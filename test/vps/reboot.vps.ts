import { get } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { now } from '../../load/outcome.ts';
import { DISTRIBUTIONS, VpsHost } from './lab/host.ts';
import { Shop } from './lab/shop.ts';

/** Three apps, one for each way to listen. */
const OTHERS = [
  { app: 'porty', listen: 'port' },
  { app: 'activated', listen: 'fd' },
] as const;

describe.each(DISTRIBUTIONS)('reboot and power cut, on %s', (distribution) => {
  let host: VpsHost;
  let shop: Shop;

  beforeAll(async () => {
    host = await VpsHost.installed(distribution, 'reboot');
    shop = new Shop(host);
    await shop.deploy('first', { routes: ['shop.example.com', '*'] });
    for (const { app, listen } of OTHERS) {
      const path = await host.putRelease({
        behaviour: { version: app },
        config: {
          app,
          routes: [`${app}.example.com`],
          bake: '100ms',
          warm: '0s',
          processes: { web: { listen, instances: 1 }, worker: null },
        },
      });
      const { code, stdout, stderr } = await host.as('deploy', `zdd-agent push ${path}`);
      expect(code, stdout + stderr).toBe(0);
    }
  });
  afterAll(async () => {
    await host?.down();
  });

  async function everyAppServes(withinMs = 30_000): Promise<void> {
    for (const app of ['shop', ...OTHERS.map((other) => other.app)]) {
      await host.until(`${app} to serve`, withinMs, async () =>
        (await answerOf(host, `${app}.example.com`)).startsWith('r'),
      );
    }
  }

  async function firstAnswerAfter(what: string, boot: () => Promise<void>): Promise<void> {
    const from = now();
    const booted = boot();
    // The old host answers until it goes down: only what follows an unanswered request counts.
    await host.until('the host to go down', 30_000, async () => {
      return (await answerOf(host, 'shop.example.com')) === 'nobody';
    });
    const down = now();
    await everyAppServes();
    const up = now();
    await booted;
    console.info(
      `${distribution}: ${what}: every app served ${Math.round(up - down)} ms after the last sign of the old boot (${Math.round(up - from)} ms in all)`,
    );
  }

  test('a reboot: every stable release serves, without the agent and without a command', async () => {
    await host.must('systemctl mask zdd-agentd');
    await firstAnswerAfter('reboot', () => host.reboot());
    expect((await host.run('systemctl is-active zdd-agentd')).stdout.trim()).not.toBe('active');
    await host.must('systemctl unmask zdd-agentd && systemctl start zdd-agentd');
    await shop.settled();
    await everyAppServes();
  });

  test('a power cut: every stable release serves, and the agent finds nothing to mend', async () => {
    await firstAnswerAfter('power cut', () => host.powerCut());
    await host.untilSucceeds('zdd-agent status', 30_000);
    await shop.settled();
    await shop.deploy('after the power cut');
  });

  for (const phase of ['unpacking', 'probing', 'baking', 'promoting']) {
    test(`a power cut while a deployment is ${phase}: finished or undone`, async () => {
      const before = await answerOf(host, 'shop.example.com');
      const deploying = await shop.pushUntil(phase, {
        behaviour: { version: `cut while ${phase}`, slowStartMs: 300 },
        config: { bake: '1s' },
      });
      await host.powerCut();
      await everyAppServes();
      const outcome = await deploying.end();
      expect(['succeeded', 'failed', 'rolled_back']).toContain(outcome);
      await shop.settled();
      const after = await answerOf(host, 'shop.example.com');
      expect(after === before).toBe(outcome !== 'succeeded');
      const units = await host.must(
        "systemctl list-units 'zdd-app-shop@*.service' --state=active --plain --no-legend | wc -l",
      );
      // Two web instances and the worker: nothing of the other release is left.
      expect(units.trim()).toBe('3');
      expect((await host.must('ls /var/lib/zdd-agent/active | grep -c zdd-app-shop@')).trim()).toBe(
        '3',
      );
    });
  }

  test('a reboot in the middle of a deployment: finished or undone', async () => {
    const deploying = await shop.pushUntil('baking', {
      behaviour: { version: 'rebooted' },
      config: { bake: '2s' },
    });
    await host.reboot();
    await everyAppServes();
    expect(['succeeded', 'failed', 'rolled_back']).toContain(await deploying.end());
    await shop.settled();
    expect((await host.run('systemctl --failed --no-legend')).stdout).toBe('');
  });
});

/** The release that answers for a route, the status of an answer without one, or `nobody`. */
function answerOf(host: VpsHost, route: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const asked = get(host.url, { headers: { host: route }, agent: false, timeout: 2_000 });
  asked.on('response', (response) => {
    response.resume();
    const { 'x-release': release } = response.headers;
    resolve(typeof release === 'string' ? release : String(response.statusCode));
  });
  asked.on('timeout', () => asked.destroy(new Error('no answer')));
  asked.on('error', () => resolve('nobody'));
  return promise;
}

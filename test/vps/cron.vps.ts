import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VpsHost } from './lab/host.ts';
import { Tiny } from './lab/tiny.ts';

/** A timer of systemd fires once a minute here. */
const WITHIN_MS = 100_000;
const TIMER = 'zdd-cron-tiny@tick.timer';

describe('jobs as timers of systemd, on bookworm', () => {
  let host: VpsHost;
  let tiny: Tiny;

  beforeAll(async () => {
    host = await VpsHost.installed('bookworm', 'cron');
    tiny = new Tiny(host);
  });
  afterAll(async () => {
    await host?.down();
  });

  function withJob(run: string) {
    return { cron: { tick: { schedule: '* * * * *', run } } };
  }
  const TICK = 'echo "$ZDD_RELEASE $(id -un) $(date +%M)" >> state/ticks';

  /** A line a run: release, user, minute. */
  async function ticks(): Promise<string[]> {
    const { stdout } = await host.run(`cat ${tiny.state}/ticks`);
    return stdout.split('\n').filter((line) => line !== '');
  }

  async function nextTick(): Promise<string> {
    const before = (await ticks()).length;
    await host.until('the job to run', WITHIN_MS, async () => (await ticks()).length > before);
    return (await ticks()).at(-1) ?? '';
  }

  test('the job of the live release runs as the app, with or without the agent, once a minute', async () => {
    await tiny.deploy('first', withJob(TICK));
    await host.until('the timer to be there', 20_000, async () => {
      const { stdout } = await host.run(`systemctl is-active ${TIMER}`);
      return stdout.trim() === 'active';
    });
    expect(await nextTick()).toMatch(/^r1-\w+ zdd-app-tiny \d\d$/);
    await host.must('systemctl stop zdd-agentd');
    expect(await nextTick()).toMatch(/^r1-/);
    await host.must('systemctl start zdd-agentd');
    // The candidate has its own job and runs it from its promotion on, and never before.
    await tiny.deploy('second', withJob(`${TICK}; exit 7`));
    const since = await tiny.lastEvent();
    expect(await nextTick()).toMatch(/^r2-/);
    const minutes = (await ticks()).map((line) => line.split(' ')[2]);
    expect(new Set(minutes).size).toBe(minutes.length);
    await tiny.told(
      'the job failed',
      since,
      (event) => event.type === 'cron' && event.detail === 'exited with 7',
    );
    const { stdout } = await host.as('deploy', 'zdd-agent status');
    expect(stdout).toContain('tiny: the job tick, due ');
  }, 420_000);

  test('its times come back with a boot, and go with the job', async () => {
    await host.reboot();
    expect(await nextTick()).toMatch(/^r2-/);
    await tiny.deploy('third');
    await host.until('the timer to be gone', 20_000, async () => {
      const { stdout } = await host.run("systemctl list-timers --all --no-legend 'zdd-cron-*'");
      return stdout.trim() === '';
    });
    expect((await host.run('ls /var/lib/zdd-agent/active')).stdout).not.toContain('zdd-cron');
  });

  test('root takes no times from the agent that are none, and the agent may start nothing else', async () => {
    for (const line of [
      'cron=tick *-*-* 0:0:00%%',
      'cron=../x daily',
      'cron=tick',
      'cron=Tick daily',
    ]) {
      await host.must(
        `printf 'stop_timeout=15\\nallow=\\n%s\\n' '${line}' > /var/lib/zdd-agent/provision/tiny`,
      );
      expect((await host.run('systemctl start zdd-provision@tiny.service')).code).not.toBe(0);
    }
    const refused = await host.as('zdd', 'systemctl start systemd-tmpfiles-clean.timer');
    expect(refused.code).not.toBe(0);
  });
});

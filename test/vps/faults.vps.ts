import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Load } from '../../load/load.ts';
import { now } from '../../load/outcome.ts';
import { DISTRIBUTIONS, VpsHost } from './lab/host.ts';
import { newerPackage } from './lab/newer-package.ts';
import { goesOn, Shop } from './lab/shop.ts';

/** HAProxy 3.0 hangs in libfaketime, so it is kept out of it. */
const REAL_TIME_HAPROXY = '#!/bin/sh\nunset LD_PRELOAD\nexec /usr/sbin/haproxy "$@"\n';
const FAKETIME = `[Service]
Environment=LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1
Environment=FAKETIME_TIMESTAMP_FILE=/run/zdd-agent/clock FAKETIME_NO_CACHE=1
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_RESET=1
`;

describe.each(DISTRIBUTIONS)('nothing but the app stops the app, on %s', (distribution) => {
  let host: VpsHost;
  let shop: Shop;
  let load: Load;

  beforeAll(async () => {
    host = await VpsHost.installed(distribution, 'faults');
    shop = new Shop(host);
    // A disk that can be filled without filling the machine's.
    await host.must(`systemctl stop zdd-agentd && cp -a /var/lib/zdd-agent /root/state
      mount -t tmpfs -o size=200m,mode=0711 state /var/lib/zdd-agent
      cp -a /root/state/. /var/lib/zdd-agent/
      printf 'limits: { reserve_bytes: 0 }\\n' >> /etc/zdd-agent/agent.yaml
      systemctl start zdd-agentd`);
    await shop.deploy('first');
    load = await shop.load();
  });
  afterAll(async () => {
    await load?.stop();
    await host?.down();
  });

  async function nothingLost(): Promise<void> {
    await goesOn(load);
    const { lost, websocketsCutEarly } = load.snapshot();
    expect({ lost, websocketsCutEarly }).toEqual({ lost: 0, websocketsCutEarly: 0 });
  }

  async function instances(): Promise<string> {
    return await host.must(
      `systemctl list-units 'zdd-app-*@*.service' --state=active --plain --no-legend | awk '{print $1}' |
       xargs -r systemctl show -p Id,MainPID,NRestarts`,
    );
  }

  test('the agent is restarted', async () => {
    const before = await instances();
    await host.must('systemctl restart zdd-agentd');
    expect(await instances()).toBe(before);
    await nothingLost();
  });

  test('the agent is killed by SIGKILL', async () => {
    const before = await instances();
    const pid = await host.must('systemctl show -p MainPID --value zdd-agentd');
    await host.must('systemctl kill -s KILL --kill-whom=main zdd-agentd');
    await host.until('systemd to bring the agent back', 20_000, async () => {
      const { stdout } = await host.run('systemctl show -p MainPID,SubState zdd-agentd');
      return stdout.includes('SubState=running') && !stdout.includes(`MainPID=${pid.trim()}\n`);
    });
    await host.untilSucceeds('zdd-agent status', 20_000);
    expect(await instances()).toBe(before);
    await nothingLost();
  });

  for (const [what, command] of [
    ['daemon-reload', 'systemctl daemon-reload'],
    ['daemon-reexec', 'systemctl daemon-reexec'],
    ['journald is restarted', 'systemctl restart systemd-journald'],
  ] as const) {
    test(`${what} in the middle of a deploy`, async () => {
      const deploying = await shop.pushUntil('probing', {
        behaviour: { version: what, slowStartMs: 500 },
      });
      await host.must(command);
      expect(await deploying.end()).toBe('succeeded');
      await shop.settled();
      await nothingLost();
    });
  }

  test('an admin reloads HAProxy in the middle of a deploy, twice', async () => {
    const deploying = await shop.pushUntil('probing', {
      behaviour: { version: 'reloaded', slowStartMs: 500 },
      config: { bake: '2s' },
    });
    await host.must('systemctl reload haproxy');
    await deploying.reaches('baking');
    await host.must('systemctl reload haproxy');
    expect(await deploying.end()).toBe('succeeded');
    await shop.settled();
    await nothingLost();
  });

  test('an instance is killed: systemd starts it again, the others serve', async () => {
    const [unit = ''] = (
      await host.must(
        `systemctl list-units 'zdd-app-shop@*web*.service' --plain --no-legend | awk '{print $1}'`,
      )
    ).split('\n');
    await host.must(`systemctl kill -s KILL --kill-whom=main '${unit}'`);
    await host.until('the instance to be back', 20_000, async () => {
      const { stdout } = await host.run(`systemctl show -p NRestarts,SubState '${unit}'`);
      return stdout.includes('NRestarts=1') && stdout.includes('SubState=running');
    });
    await shop.settled();
    // What this instance was answering is lost with it: a new count from here on.
    await load.stop();
    load = await shop.load();
  });

  test('the clock jumps an hour forwards, then back, while a release is watched', async () => {
    await host.write('/usr/local/sbin/haproxy-in-real-time', REAL_TIME_HAPROXY, '0755');
    await host.must(`mkdir -p /etc/systemd/system/zdd-agentd.service.d
      cp /etc/zdd-agent/agent.yaml /root/agent.yaml
      sed -i 's#binary: .*haproxy$#binary: /usr/local/sbin/haproxy-in-real-time#' /etc/zdd-agent/agent.yaml
      grep haproxy-in-real-time /etc/zdd-agent/agent.yaml`);
    await host.write('/run/zdd-agent/clock', '+0');
    await host.write('/etc/systemd/system/zdd-agentd.service.d/clock.conf', FAKETIME);
    await host.must('systemctl daemon-reload && systemctl restart zdd-agentd');
    for (const [name, clock] of [
      ['forwards', '+3600'],
      ['back', '-3600'],
    ] as const) {
      const deploying = await shop.pushUntil('baking', {
        behaviour: { version: name },
        config: { bake: '3s' },
      });
      await host.write('/run/zdd-agent/clock', clock);
      expect(await deploying.end()).toBe('succeeded');
      await shop.settled();
    }
    await host.must(`rm /etc/systemd/system/zdd-agentd.service.d/clock.conf
      cat /root/agent.yaml > /etc/zdd-agent/agent.yaml
      systemctl daemon-reload && systemctl restart zdd-agentd`);
    await nothingLost();
  });

  test('the disk is full when a release comes', async () => {
    const path = await shop.build({
      behaviour: { version: 'too big' },
      files: { 'big.txt': Array.from({ length: 400_000 }, () => Math.random()).join('\n') },
    });
    await host.must('fallocate -l 190m /var/lib/zdd-agent/filler || true; df /var/lib/zdd-agent');
    await host.run('dd if=/dev/zero of=/var/lib/zdd-agent/filler2 bs=4k count=400 2>/dev/null');
    const { code, stdout, stderr } = await host.as('deploy', `zdd-agent push ${path}`);
    expect(stderr, stdout).toContain('ZDD_DISK_FULL');
    expect(code).toBe(20);
    await host.must('rm -f /var/lib/zdd-agent/filler /var/lib/zdd-agent/filler2');
    await shop.deploy('after the full disk');
    await nothingLost();
  });

  test('the disk fills up while a release is watched', async () => {
    const deploying = await shop.pushUntil('baking', {
      behaviour: { version: 'filling' },
      config: { bake: '2s' },
    });
    await host.run('cat /dev/zero > /var/lib/zdd-agent/filler');
    await goesOn(load);
    await host.must('rm -f /var/lib/zdd-agent/filler');
    expect(['succeeded', 'failed', 'rolled_back']).toContain(await deploying.end());
    await shop.settled();
    await shop.deploy('after the disk filled up');
    await nothingLost();
  });

  test('the agent is upgraded by a newer package in the middle of a deploy', async () => {
    const folder = await newerPackage(host);
    const before = await host.must('systemctl show -p MainPID --value haproxy');
    const deploying = await shop.pushUntil('baking', {
      behaviour: { version: 'upgraded under' },
      config: { bake: '3s' },
    });
    await host.must(`${folder}/install.sh --yes`);
    expect(await host.must('zdd-agentd --version')).toContain('99.0.0');
    const outcome = await deploying.end();
    const { stdout: why } = await host.run('zdd-agent why --app shop');
    expect(outcome, why).toBe('succeeded');
    await shop.settled();
    expect(await host.must('systemctl show -p MainPID --value haproxy')).toBe(before);
    await nothingLost();
  });

  test('after all this no upload ran twice, no two workers ran at once', async () => {
    const report = await load.stop();
    expect(report.losses).toEqual([]);
    expect(report.ledger?.duplicates).toEqual([]);
    expect(report.ledger?.workerOverlaps).toBe(0);
  });

  test('apt installs HAProxy again and restarts it: lost is only what was open then', async () => {
    load = await shop.load({ websockets: 0 });
    const from = now();
    await host.must(
      'DEBIAN_FRONTEND=noninteractive apt-get install --reinstall -y haproxy 2>&1 && systemctl is-active haproxy',
    );
    const to = now();
    await goesOn(load);
    await host.untilSucceeds('zdd-agent status', 10_000);
    await shop.deploy('after apt');
    const report = await load.stop();
    const outside = report.losses.filter(({ end }) => end < from || end > to + 1_000);
    expect(outside).toEqual([]);
    console.info(
      `${distribution}: HAProxy restarted by apt: ${report.lost} of ${report.requests} lost`,
      report.lostByReason,
    );
  });
});

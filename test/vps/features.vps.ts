import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { event, type ZddEvent } from '../../agent/protocol/events.ts';
import type { Load } from '../../load/load.ts';
import { now } from '../../load/outcome.ts';
import { getHttp2, type TlsLoad } from '../haproxy/tls/clients.ts';
import { adoptedHost } from './lab/adopted.ts';
import {
  ALONE,
  type AppName,
  AS_ANNA,
  Featured,
  FILES,
  HERE,
  PAGE,
  SHOP,
  STAGING,
} from './lab/featured.ts';
import { type Distribution, VpsHost } from './lab/host.ts';
import { goesOn } from './lab/shop.ts';
import { visit } from './lab/visit.ts';

const HOSTS: ReadonlyArray<{ distribution: Distribution; haproxy: 'installed' | 'adopted' }> = [
  { distribution: 'trixie', haproxy: 'installed' },
  // Begun by root and in a chroot: that differs by how it is started, not by its version.
  { distribution: 'bookworm', haproxy: 'adopted' },
];

describe.each(HOSTS)('features on $distribution, HAProxy $haproxy', ({ distribution, haproxy }) => {
  let host: VpsHost;
  let on: Featured;
  let load: Load;
  let alone: Load;
  let tls: TlsLoad;

  beforeAll(async () => {
    host = await bringUp(distribution, haproxy);
    on = await Featured.on(host);
    const apps: readonly AppName[] = ['shop', 'staging', 'alone'];
    await Promise.all(apps.map((app) => on.push(app, { version: `${app}-1` })));
    expect(await on.addCertificate(SHOP, STAGING)).toContain('is shown');
    await host.until('every certificate', 30_000, async () => {
      const shown = await Promise.all(
        [SHOP, STAGING, ALONE, FILES].map((name) => on.isShown(name)),
      );
      return shown.every(Boolean);
    });
    const allow = ['--allow', HERE, '--retry-after', '77'];
    await on.laptop.must('maintenance', 'on', '--app', 'staging', ...allow);
    await startLoads();
  });
  afterAll(async () => {
    await Promise.all([load?.stop(), alone?.stop(), tls?.stop()]);
    await on?.[Symbol.asyncDispose]();
    await host?.down();
  });

  async function startLoads(): Promise<void> {
    [load, alone] = await Promise.all([on.load('shop'), on.load('alone')]);
    tls = on.tlsLoad();
  }

  async function goOn(): Promise<void> {
    await Promise.all([load, alone].map((one) => goesOn(one, 30_000, 60)));
  }

  /** Whatever was done: nothing was lost, nothing ran twice. */
  async function nothingIsLost(): Promise<void> {
    await goOn();
    expect(load.snapshot()).toMatchObject({ lost: 0, appErrors: 0 });
    expect(alone.snapshot()).toMatchObject({ lost: 0, appErrors: 0 });
    expect(tls.outcomes.filter((outcome) => outcome !== '200')).toEqual([]);
    expect(await on.startedTwice()).toBe('');
  }

  /** Every feature, as a visitor sees it. */
  async function everyFeatureHolds(): Promise<void> {
    const { status, headers } = await getHttp2(443, SHOP, on.ca.root, '/', host.address);
    expect([status, headers['strict-transport-security']]).toEqual([200, 'max-age=3600']);
    expect((await fromTheHost(SHOP)).slice(0, 3)).toBe('403');
    await usersStay();
    const asked = await visit(host.url, 'www.staging.example.com', '/a?b=c');
    expect([asked.status, asked.headers['location']]).toEqual([301, `https://${STAGING}/a?b=c`]);
    const secure = { 'x-forwarded-proto': 'https' };
    expect((await visit(host.url, STAGING, '/', secure)).status).toBe(401);
    expect((await visit(host.url, STAGING, '/', { ...secure, ...AS_ANNA })).status).toBe(200);
    expect(await fromTheHost(STAGING)).toMatch(/^503 77 .*Down for maintenance/s);
    expect(await on.isShown(ALONE)).toBe(true);
    expect(await on.isShown(FILES)).toBe(true);
    expect((await visit(host.url, ALONE)).status).toBe(200);
  }

  async function usersStay(): Promise<void> {
    const first = await visit(host.url, SHOP);
    expect(first.cookies).toEqual([expect.stringMatching(/^zdd_shop=r\d+-d\d+-web-[12]$/)]);
    for (let again = 0; again < 2; again += 1) {
      const next = await visit(host.url, SHOP, '/', { cookie: first.cookies[0] ?? '' });
      expect([next.headers['x-instance'], next.cookies]).toEqual([first.headers['x-instance'], []]);
    }
  }

  async function fromTheHost(name: string): Promise<string> {
    const format = '%{http_code} %header{retry-after} ';
    return await host.must(
      `curl -s -o /tmp/body -w '${format}' -H 'Host: ${name}' http://127.0.0.1/; cat /tmp/body`,
    );
  }

  async function events(since = 0): Promise<ZddEvent[]> {
    const { code, stdout } = await host.run(`zdd-agent events --json --since ${since}`);
    if (code !== 0) return [];
    const lines = stdout.split('\n').filter((line) => line !== '');
    return lines.map((line) => event.parse(JSON.parse(line)));
  }

  async function lastEvent(): Promise<number> {
    return (await events()).at(-1)?.seq ?? 0;
  }

  test('all of it is in force at once', async () => {
    await everyFeatureHolds();
    await nothingIsLost();
    const doctor = await host.must('zdd-agent doctor');
    expect(doctor).toContain('agree on 3 apps');
    expect(doctor).toMatch(haproxy === 'adopted' ? /leaves a HAProxy down/ : /died again/);
    const checked = await host.must('haproxy -c -f /etc/haproxy/haproxy.cfg 2>&1');
    expect(checked).not.toMatch(/WARNING|ALERT/);
  });

  test('keys are for HAProxy and the agent, nobody else', async () => {
    const [pushed] = await on.certificates();
    const folder = '/etc/haproxy/zdd/zdd-certs';
    const modes = await host.must(
      `stat -c '%a %U:%G' ${folder}/*.pem | sort -u; stat -c %a ${folder}`,
    );
    expect(modes).toBe('640 zdd:haproxy\n2750\n');
    expect(await host.must("stat -c '%a %U' /var/lib/zdd-agent/agent.db*")).toMatch(
      /^(600 zdd\n)+$/,
    );
    const secrets = [
      `${folder}/${pushed?.id}.pem`,
      '/etc/haproxy/zdd/haproxy.cfg',
      '/var/lib/zdd-agent/agent.db',
    ];
    for (const user of ['deploy', 'zdd-app-shop', 'daemon']) {
      const as = `setpriv --reuid=${user} --regid=${user} --init-groups`;
      for (const path of secrets) {
        expect(await host.run(`${as} cat ${path}`)).toMatchObject({
          stdout: '',
          stderr: expect.stringContaining('Permission denied'),
        });
      }
    }
    expect(await host.must('journalctl -b -o export')).not.toContain('PRIVATE KEY');
  });

  test('certificates are renewed, from the laptop and by their file: no reload', async () => {
    const haproxy = await on.haproxy();
    const before = [await on.shown(SHOP), await on.shown(FILES)] as const;
    expect(await on.addCertificate(SHOP, STAGING)).toContain('instead of the one before');
    expect(await on.shown(SHOP)).not.toBe(before[0]);
    await on.writeFiles(await on.ca.issue([FILES]));
    await host.until('the new file to be shown', 20_000, async () => {
      return (await on.shown(FILES)) !== before[1];
    });
    expect(await on.haproxy()).toBe(haproxy);
    await nothingIsLost();
    expect(new Set(tls.shown).size).toBeGreaterThan(1);
  });

  test('a release comes: shadowed, judged by the access log, users stay', async () => {
    const haproxy = await on.haproxy();
    const said = await on.push('shop', { version: 'shop-2' });
    expect(said).toMatch(/[1-9]\d* requests copied, .*0 failed that live answered/);
    expect(said).toMatch(/p99/);
    expect(said).not.toMatch(/counters/);
    expect(await on.haproxy()).toBe(haproxy);
    await usersStay();
    await nothingIsLost();
  });

  test('requests wait while an app that may not run twice is replaced', async () => {
    await on.push('alone', { version: 'alone-2', slowStartMs: 1_500 });
    await nothingIsLost();
    expect(alone.snapshot().lost).toBe(0);
  });

  test('more than the limit allows waits its turn', async () => {
    const burst = Array.from({ length: 120 }, () => visit(host.url, SHOP, '/slow?ms=300'));
    const statuses = (await Promise.all(burst)).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([200]));
    await nothingIsLost();
  });

  test('an older haproxy.cfg is put there and reloaded: no request is lost, all comes back', async () => {
    const since = await lastEvent();
    await host.must(`cd /etc/haproxy/zdd && cp haproxy.cfg /root/older.cfg`);
    await on.push('shop', { version: 'shop-3' });
    await on.laptop.must('maintenance', 'off', '--app', 'staging');
    await host.must(`cat /root/older.cfg >/etc/haproxy/haproxy.cfg && systemctl reload haproxy`);
    await host.until('it to be repaired', 20_000, async () =>
      (await events(since)).some((told) => told.type === 'drift'),
    );
    await nothingIsLost();
    await on.laptop.must(
      'maintenance',
      'on',
      '--app',
      'staging',
      '--allow',
      HERE,
      '--retry-after',
      '77',
    );
    await everyFeatureHolds();
    expect(await host.must('zdd-agent doctor')).toContain('agree on 3 apps');
  });

  test('HAProxy is killed again and again while there is no agent: back at once, as it was', async () => {
    await host.must('systemctl stop zdd-agentd');
    await tls.stop();
    const mainPid = async (): Promise<string> =>
      (await host.must('systemctl show -P MainPID haproxy')).trim();
    const windows = [];
    // Beyond five within ten seconds, an adopted one is left down: as its admin has it (doctor).
    for (let times = 0; times < (haproxy === 'adopted' ? 3 : 7); times += 1) {
      const fromMs = now();
      const before = await mainPid();
      await host.must('systemctl kill -s KILL --kill-whom=main haproxy');
      // A worker whose master is dead answers for a moment longer.
      await host.until('HAProxy to be back', 20_000, async () => {
        const pid = await mainPid();
        return pid !== before && pid !== '0' && (await visit(host.url, SHOP)).status === 200;
      });
      windows.push({ fromMs, toMs: now() });
    }
    tls = on.tlsLoad();
    await everyFeatureHolds();
    await host.must('systemctl start zdd-agentd');
    expect(load.windows(windows, 'outside').lost).toBe(0);
    expect(alone.windows(windows, 'outside').lost).toBe(0);
    const away = windows.map(({ fromMs, toMs }) => Math.round(toMs - fromMs));
    console.info(`${distribution}, ${haproxy}: HAProxy killed: back after ${away.join(', ')} ms`);
    await Promise.all([load.stop(), alone.stop(), tls.stop()]);
  });

  test('HAProxy is restarted: everything is as it was, and the agent has nothing to repair', async () => {
    const since = await lastEvent();
    await host.must('systemctl restart haproxy');
    await everyFeatureHolds();
    await startLoads();
    await nothingIsLost();
    expect((await events(since)).filter(({ type }) => type === 'drift')).toEqual([]);
  });

  test('a reboot, without the agent: everything is as it was, from the first answer on', async () => {
    await tls.stop();
    await host.must('systemctl mask zdd-agentd');
    const fromMs = now();
    await host.reboot();
    await host.until('both apps to serve', 20_000, async () => {
      const seen = await Promise.all([visit(host.url, SHOP), visit(host.url, ALONE)]);
      return seen.every(({ status }) => status === 200);
    });
    const window = { fromMs, toMs: now() };
    tls = on.tlsLoad();
    await everyFeatureHolds();
    await host.must('systemctl unmask zdd-agentd && systemctl start zdd-agentd');
    await everyFeatureHolds();
    await goOn();
    expect(load.windows([window], 'outside').lost).toBe(0);
    expect(alone.windows([window], 'outside').lost).toBe(0);
    expect(tls.outcomes.filter((outcome) => outcome !== '200')).toEqual([]);
    expect(await host.must('zdd-agent doctor')).toContain('agree on 3 apps');
    await Promise.all([load.stop(), alone.stop(), tls.stop()]);
  });

  test('a power cut while requests wait: the app serves again, and never ran twice', async () => {
    const path = await on.build('alone', { version: 'alone-3', slowStartMs: 2_000 });
    const since = await lastEvent();
    await on.laptop.must('push', path, '--detach');
    await host.until('the old release to be stopped', 20_000, async () =>
      (await events(since)).some((told) => told.type === 'phase_changed' && told.to === 'starting'),
    );
    await host.powerCut();
    await host.until('it to serve', 30_000, async () => {
      return (await visit(host.url, ALONE)).status === 200;
    });
    await host.until('the deployment to end', 40_000, async () =>
      (await events(since)).some((told) => told.type === 'deployment_ended'),
    );
    expect((await visit(host.url, ALONE)).status).toBe(200);
    expect(await on.startedTwice()).toBe('');
  });

  test('status and doctor tell how long certificates last, and what is wrong with them', async () => {
    const { stdout } = await on.laptop.run('status');
    expect(stdout).toMatch(/^shop .* 89d$/m);
    await host.must(
      'chmod 600 /etc/ssl/private/files.key && chown root /etc/ssl/private/files.key',
    );
    await host.until('the doctor to say so', 20_000, async () =>
      (await host.run('zdd-agent doctor')).stdout.includes('/etc/ssl/files.pem'),
    );
    const doctor = (await host.run('zdd-agent doctor')).stdout;
    expect(doctor).toContain('chgrp zdd-agent /etc/ssl/private/files.key');
    expect(await on.isShown(FILES)).toBe(true);
  });

  test('the page of an app that is stopped is its own', async () => {
    await on.laptop.must('maintenance', 'off', '--app', 'staging');
    await on.laptop.must('stop', '--app', 'staging');
    const seen = await visit(host.url, STAGING, '/', {
      'x-forwarded-proto': 'https',
      ...AS_ANNA,
    });
    expect([seen.status, seen.headers['retry-after'], seen.body]).toEqual([503, '5', PAGE]);
  });
});

async function bringUp(distribution: Distribution, haproxy: string): Promise<VpsHost> {
  return haproxy === 'adopted'
    ? await adoptedHost(distribution, 'adopted')
    : await VpsHost.installed(distribution, 'features');
}

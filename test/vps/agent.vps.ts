import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { doctorReply, type Finding } from '../../agent/protocol/api.ts';
import type { ConfigOverrides } from '../../examples/build-release.ts';
import type { Load } from '../../load/load.ts';
import { DISTRIBUTIONS, VpsHost } from './lab/host.ts';
import { goesOn, Shop } from './lab/shop.ts';

const YAML = '/etc/zdd-agent/agent.yaml';
const CFG = '/etc/haproxy/zdd/haproxy.cfg';
const DROP_INS = '/etc/systemd/system/zdd-agentd.service.d';

/** What is broken, and what the doctor says about it. The first command it names mends it. */
interface Breakage {
  readonly what: string;
  readonly command: string;
  readonly code: string;
  readonly level: Finding['level'];
}

const BREAKAGES: readonly Breakage[] = [
  {
    what: 'HAProxy is stopped',
    command: 'systemctl stop haproxy',
    code: 'ZDD_HAPROXY_DOWN',
    level: 'error',
  },
  {
    what: 'the admin socket is for its owner alone',
    command: 'chmod 600 /run/haproxy/admin.sock',
    code: 'haproxy_admin_socket',
    level: 'error',
  },
  {
    what: 'the master socket is for its owner alone',
    command: 'chmod 600 /run/haproxy/master.sock',
    code: 'haproxy_master_socket',
    level: 'error',
  },
  {
    what: 'old workers are cut off before a drain ends',
    command: `sed -i 's/hard-stop-after .*/hard-stop-after 1s/' ${CFG}`,
    code: 'haproxy_hard_stop_after',
    level: 'warning',
  },
  {
    what: 'the admin socket takes ten connections',
    command: `sed -i '/stats maxconn/d' ${CFG}`,
    code: 'haproxy_stats_maxconn',
    level: 'notice',
  },
  {
    what: 'systemd gives HAProxy up after some deaths',
    command: `sed -i '/^StartLimit/d' /etc/systemd/system/haproxy.service.d/zdd-agent.conf && systemctl daemon-reload`,
    code: 'haproxy_start_limit',
    level: 'warning',
  },
  {
    what: 'an editor has replaced the link to haproxy.cfg by a file',
    command: `cp --remove-destination ${CFG} /etc/haproxy/haproxy.cfg`,
    code: 'haproxy_config_link',
    level: 'error',
  },
  {
    what: "the folder of haproxy.cfg is root's",
    command: 'chown root /etc/haproxy/zdd && chmod 755 /etc/haproxy/zdd',
    code: 'haproxy_config_folder',
    level: 'error',
  },
  {
    what: "haproxy.cfg is root's secret",
    command: `chown root:root ${CFG} && chmod 600 ${CFG}`,
    code: 'haproxy_config',
    level: 'error',
  },
  {
    what: 'the apps are not started at boot',
    command: 'systemctl disable zdd-apps.service',
    code: 'unit_not_enabled',
    level: 'error',
  },
  {
    what: 'polkit cannot read its rule',
    command: `chmod 000 /usr/share/polkit-1/rules.d/50-zdd-agent.rules
      systemctl restart polkit`,
    code: 'polkit',
    level: 'error',
  },
  {
    what: 'the unit of an app is gone',
    command: 'rm /etc/systemd/system/zdd-app-shop@.service',
    code: 'app_unit_missing',
    level: 'error',
  },
  {
    what: 'an instance is not among those to start at boot',
    command: 'rm $(ls /var/lib/zdd-agent/active/zdd-app-shop@*web-1.service)',
    code: 'not_active_after_boot',
    level: 'error',
  },
  {
    what: 'the journal of the agent may be read by all',
    command: 'chmod 644 /var/lib/zdd-agent/agent.db',
    code: 'folder_mode',
    level: 'warning',
  },
  {
    what: 'everybody may deploy',
    command: 'chmod 666 /run/zdd-agent/agent.sock',
    code: 'socket_mode',
    level: 'error',
  },
  {
    what: 'systemd does not watch the agent',
    command: `mkdir -p ${DROP_INS} && printf '[Service]\\nWatchdogSec=0\\n' > ${DROP_INS}/no.conf
      systemctl daemon-reload && systemctl restart zdd-agentd`,
    code: 'watchdog',
    level: 'warning',
  },
  {
    what: 'the journal is kept in memory',
    command: 'rm -rf /var/log/journal && systemctl restart systemd-journald',
    code: 'journal_volatile',
    level: 'notice',
  },
];

describe.each(DISTRIBUTIONS)('the agent under systemd, on %s', (distribution) => {
  let host: VpsHost;
  let shop: Shop;
  let load: Load;

  beforeAll(async () => {
    host = await VpsHost.installed(distribution, 'agent');
    shop = new Shop(host);
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

  async function shown(property: string): Promise<string> {
    return (await host.must(`systemctl show -p ${property} --value zdd-agentd`)).trim();
  }

  async function findings(): Promise<readonly Finding[]> {
    const { stdout, stderr } = await host.run('zdd-agent doctor --json');
    expect(stdout, stderr).not.toBe('');
    return doctorReply.parse(JSON.parse(stdout)).findings;
  }

  test('is started once everything is in order, and not before', async () => {
    // Type=notify: `systemctl restart` returns with READY=1.
    await host.must('systemctl restart zdd-agentd && zdd-agent releases shop');
    expect(await shown('StatusText')).toBe('idle, 1 app');
    await nothingLost();
  });

  test('says in its status what it is doing', async () => {
    const deploying = await shop.pushUntil('baking', {
      behaviour: { version: 'status' },
      config: { bake: '10m' },
    });
    await host.until('its status to say so', 20_000, async () => {
      return /^shop #\d+ baking$/.test(await shown('StatusText'));
    });
    await host.must('zdd-agent promote --app shop');
    expect(await deploying.end()).toBe('succeeded');
    await host.until('it to be idle', 10_000, async () => {
      return (await shown('StatusText')) === 'idle, 1 app';
    });
  });

  test('is restarted by the watchdog when it hangs, and traffic does not notice', async () => {
    await host.must(`mkdir -p ${DROP_INS}`);
    await host.write(`${DROP_INS}/quick.conf`, '[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n');
    await host.must('systemctl daemon-reload && systemctl restart zdd-agentd');
    const pid = await shown('MainPID');
    // Longer than the watchdog waits: an agent that works is left alone.
    await host.must('sleep 4');
    expect(await shown('MainPID')).toBe(pid);
    await host.must('systemctl kill -s STOP --kill-whom=main zdd-agentd');
    await host.until('systemd to bring it back', 20_000, async () => {
      return (await shown('SubState')) === 'running' && (await shown('MainPID')) !== pid;
    });
    expect(await host.must('journalctl -u zdd-agentd -o cat')).toContain('Watchdog timeout');
    await host.must(`rm ${DROP_INS}/quick.conf && systemctl daemon-reload`);
    await host.must('systemctl restart zdd-agentd');
    await nothingLost();
  });

  describe('systemctl reload', () => {
    let original = '';
    beforeAll(async () => {
      original = await host.must(`cat ${YAML}`);
    });
    const rewrite = async (change: (text: string) => string): Promise<void> =>
      await host.write(YAML, change(original), '0640');

    test('takes a new bind over, without losing a request', async () => {
      await rewrite((text) => text.replace("['*:80']", "['*:80', '*:81']"));
      await host.must('systemctl reload zdd-agentd');
      await host.untilSucceeds('curl -sf http://127.0.0.1:81/healthz', 10_000);
      await rewrite((text) => text);
      await host.must('systemctl reload zdd-agentd');
      await host.until('port 81 to be closed', 10_000, async () => {
        return (await host.run('curl -s http://127.0.0.1:81/')).code === 7;
      });
      await nothingLost();
    });

    test('refuses a file that is wrong, and everything stays', async () => {
      const pid = await shown('MainPID');
      await rewrite((text) => `${text}\nlog_level: loud\n`);
      const { code, stderr } = await host.run('systemctl reload zdd-agentd');
      expect(code, stderr).not.toBe(0);
      // Past the check that the unit makes first.
      await host.must(`kill -HUP ${pid}`);
      await host.until('it to say so', 10_000, async () => {
        return (await shown('StatusText')).endsWith(
          'agent.yaml is wrong, the one before is in force',
        );
      });
      expect(await shown('MainPID')).toBe(pid);
      await rewrite((text) => text);
      await host.must('systemctl reload zdd-agentd');
      await host.until('it to be content', 10_000, async () => {
        return (await shown('StatusText')) === 'idle, 1 app';
      });
    });

    test('refuses a port of root that another program has, before HAProxy tries', async () => {
      await host.must(
        'systemd-run -q --unit=other node -e \'require("net").createServer().listen(82)\'',
      );
      await host.untilSucceeds("ss -ltn 'sport = :82' | grep -q LISTEN", 10_000);
      const since = (await shop.events()).at(-1)?.seq ?? 0;
      await rewrite((text) => text.replace("['*:80']", "['*:80', '*:82']"));
      await host.must('systemctl reload zdd-agentd');
      await host.until('the refusal', 10_000, async () =>
        (await shop.events(since)).some(
          (told) =>
            told.type === 'configuration_reloaded' &&
            told.error?.includes('Another program listens') === true,
        ),
      );
      expect(await host.must(`cat ${CFG}`)).not.toContain(':82');
      await host.must('systemctl stop other');
      await rewrite((text) => text);
      await host.must('systemctl reload zdd-agentd');
      await nothingLost();
    });
  });

  const long: ReadonlyArray<readonly [phase: string, config: ConfigOverrides, next: string]> = [
    // A unit of its own: it runs on without the agent, which then takes its result.
    ['releasing', { release: 'sleep 6' }, 'true'],
    ['baking', { bake: '60s' }, 'zdd-agent promote'],
  ];
  for (const [phase, config, next] of long) {
    test(`SIGTERM while ${phase}: gone within 5 s, and the next start goes on`, async () => {
      const deploying = await shop.pushUntil(phase, {
        behaviour: { version: `stopped-${phase}` },
        config,
      });
      await host.must('timeout 5 systemctl stop zdd-agentd');
      expect([await shown('Result'), await shown('ExecMainStatus')]).toEqual(['success', '0']);
      await host.must(`systemctl start zdd-agentd && ${next}`);
      expect(await deploying.end()).toBe('succeeded');
      await shop.settled();
      await nothingLost();
    });
  }

  describe('the doctor', () => {
    beforeAll(async () => {
      await load.stop();
    });

    const bad = ({ level }: Finding): boolean => level === 'error' || level === 'warning';

    test('finds nothing wrong with a fresh install', async () => {
      const found = await findings();
      expect(found.filter(bad)).toEqual([]);
      expect(found.map(({ code }) => code)).toEqual(
        expect.arrayContaining(
          'haproxy haproxy_user haproxy_config state units polkit watchdog folders disk memory ports journal'.split(
            ' ',
          ),
        ),
      );
    });

    for (const { what, command, code, level } of BREAKAGES) {
      test(`finds that ${what}, and names what mends it`, async () => {
        await host.must(command);
        const isIt = (finding: Finding): boolean =>
          finding.code === code && finding.level === level;
        const [found] = (await findings()).filter(isIt);
        expect(found).toBeDefined();
        // After eight blanks the rest is for people.
        const [mend = ''] = found?.tries[0]?.split(' '.repeat(8)) ?? [];
        await host.must(mend);
        await host.until('nothing to be wrong any more', 15_000, async () => {
          const left = await findings();
          return !left.some((finding) => isIt(finding) || bad(finding));
        });
      });
    }

    test('names what it cannot check, when only root may read it', async () => {
      await host.must(`install -m 600 /dev/null /root/errors.http &&
        printf 'HTTP/1.0 500 Oops\\r\\n\\r\\n' > /etc/haproxy/secret.http && chmod 600 /etc/haproxy/secret.http
        sed -i '0,/^defaults/s//defaults\\n  errorfile 500 \\/etc\\/haproxy\\/secret.http/' ${CFG}`);
      const found = await findings();
      expect(found.find(({ code }) => code === 'haproxy_config_unchecked')).toMatchObject({
        level: 'notice',
        what: expect.stringContaining('/etc/haproxy/secret.http'),
      });
      // That part is the admin's; the agent's own can be changed all the same.
      await shop.deploy('beside-a-secret');
    });
  });
});

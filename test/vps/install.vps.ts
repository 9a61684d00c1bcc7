import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { builtPackage, type CommandResult, DISTRIBUTIONS, VpsHost } from './lab/host.ts';
import { differences, stateOf } from './lab/host-state.ts';
import { Shop } from './lab/shop.ts';
import { SteadyRequests } from './lab/steady-requests.ts';

const INSTALL = './install.sh --yes --deploy-user deploy';
const ALONE = (line: string): string => `unshare --mount sh -c '${line}'`;

/** A host that cannot take the agent: what makes it so, and what is said. Nothing may change. */
const NOT_READY: readonly (readonly [what: string, line: string, said: RegExp])[] = [
  ['nobody is root', `su deploy -c '${INSTALL}'`, /install.sh needs root/],
  [
    'the distribution is another one',
    `printf 'ID=fedora\\nPRETTY_NAME="Fedora 41"\\n' >/tmp/os; ${ALONE(`mount --bind /tmp/os /etc/os-release; ${INSTALL}`)}`,
    /Fedora 41: supported are Debian 12 and Ubuntu 24.04/,
  ],
  [
    'HAProxy comes from elsewhere',
    ALONE(
      `mount -t tmpfs x /usr/local/sbin; install -m 755 /dev/null /usr/local/sbin/haproxy; ${INSTALL}`,
    ),
    /\/usr\/local\/sbin\/haproxy is not the distribution's/,
  ],
  [
    '/etc is read-only',
    ALONE(`mount --bind /etc /etc; mount -o remount,ro,bind /etc; ${INSTALL}`),
    /read-only: \/etc/,
  ],
  [
    'there is no space for the program',
    `mkdir /usr/lib/zdd-agent; ${ALONE(`mount -t tmpfs -o size=8m x /usr/lib/zdd-agent; ${INSTALL}`)}; code=$?; rmdir /usr/lib/zdd-agent; exit $code`,
    /\/usr\/lib\/zdd-agent needs \d+ MB free, there are 8/,
  ],
  [
    'there is no space for state',
    `mkdir /var/lib/zdd-agent; ${ALONE(`mount -t tmpfs -o size=8m x /var/lib/zdd-agent; ${INSTALL}`)}; code=$?; rmdir /var/lib/zdd-agent; exit $code`,
    /\/var\/lib\/zdd-agent needs \d+ MB free, there are 8/,
  ],
  [
    'port 80 is taken',
    `systemd-run -q --unit=other-web -p Type=exec python3 -c 'import socket,time
s=socket.socket(); s.bind(("",80)); s.listen(); time.sleep(99)' 2>/dev/null ||
     systemd-run -q --unit=other-web node -e 'require("node:net").createServer().listen(80)'
     until ss -ltn | grep -q ':80 '; do sleep 0.1; done
     ${INSTALL}; code=$?; systemctl stop other-web; exit $code`,
    /port 80 +taken by \w+ \(pid \d+\)/,
  ],
  [
    'the package is damaged',
    `cp -r . /tmp/damaged && cd /tmp/damaged && echo >>usr/lib/zdd-agent/libexec/provision && ${INSTALL}`,
    /damaged: its files are not those of SHA256SUMS/,
  ],
];

/** Where an install is killed: when it has said that it begins with this. */
const KILLED_AT = ['packages', 'files', 'user', 'config', 'haproxy', 'units', 'agent'];

describe.each(DISTRIBUTIONS)('install.sh on %s', (distribution) => {
  let host: VpsHost;
  let shop: Shop;
  let fresh: readonly string[];

  beforeAll(async () => {
    host = await VpsHost.up(distribution, 'install');
    shop = new Shop(host);
    await host.unpackPackage();
    await host.must('mv /root/package /opt/zdd && chmod -R go+rX /opt/zdd');
    fresh = await stateOf(host);
  });
  afterAll(async () => await host.down());

  const install = async (line: string): Promise<CommandResult> =>
    await host.run(`cd /opt/zdd && ${line}`);

  describe('changes nothing', () => {
    test.each(NOT_READY)('when %s, and says so', async (_what, line, said) => {
      const { code, stdout, stderr } = await install(line);
      expect(stdout + stderr).toMatch(said);
      expect(stderr).toContain('nothing was changed');
      expect(code).toBe(3);
      expect(differences(fresh, await stateOf(host))).toEqual([]);
    });

    test.each(['--bind nonsense', '--purge', '--frobnicate', '--deploy-user'])(
      'with %s, which is a mistake',
      async (argument) => {
        const { code, stderr } = await install(`./install.sh --yes ${argument}`);
        expect(stderr).toContain('Try: ');
        expect(code).toBe(2);
        expect(differences(fresh, await stateOf(host))).toEqual([]);
      },
    );

    test('with --check and --dry-run, which tell what is and what would be', async () => {
      const check = await install('./install.sh --check --deploy-user deploy');
      expect(check.stdout).toMatch(/ready: (\d+) of \1 checks passed; nothing was changed/);
      expect(check.code).toBe(0);
      const dryRun = await install(`${INSTALL} --dry-run`);
      expect(dryRun.stdout).toContain('that was --dry-run: nothing was changed');
      expect(dryRun.stdout).toContain('deploy joins zdd');
      expect(dryRun.code).toBe(0);
      expect(differences(fresh, await stateOf(host))).toEqual([]);
    });
  });

  test('killed anywhere, goes on from there; then there is nothing left to do', async () => {
    for (const step of KILLED_AT) {
      await install(`${INSTALL} >/tmp/out 2>&1 & installer=$!
        while kill -0 $installer 2>/dev/null && ! grep -q '^  ${step} ' /tmp/out; do :; done
        kill -KILL $installer 2>/dev/null; wait $installer 2>/dev/null; true`);
      // What it had started may end; nothing of it may be in the way of the next.
      await host.untilSucceeds('! pgrep -x apt-get && ! pgrep -x dpkg', 60_000);
    }
    const { code, stdout, stderr } = await install(INSTALL);
    expect(code, stdout + stderr).toBe(0);
    const installed = await stateOf(host);
    const again = await install(INSTALL);
    expect(again.stdout).toContain('nothing to do');
    expect(again.code).toBe(0);
    expect(differences(installed, await stateOf(host))).toEqual([]);
    expect((await install('./install.sh --check')).code).toBe(0);
  });

  test('leaves a host that deploys', async () => {
    await host.must("curl -s localhost | grep -i 'zdd-agent'");
    await shop.deploy('first');
    await host.must("curl -sD - -o /dev/null localhost | grep -i 'x-release: r1-'");
  });

  test('refuses the database of a newer agent, and says which version', async () => {
    const version = (to: string): string =>
      `node -e 'const d = new (require("node:sqlite").DatabaseSync)("/var/lib/zdd-agent/agent.db"); ${to}'`;
    const now = await host.must(
      version('console.log(d.prepare("PRAGMA user_version").get().user_version)'),
    );
    await host.must(`systemctl stop zdd-agentd; ${version('d.exec("PRAGMA user_version = 999")')}`);
    const { code, stdout, stderr } = await install(INSTALL);
    expect(stdout + stderr).toMatch(/999/);
    expect(stderr).toContain('nothing was changed');
    expect(code).toBe(3);
    await host.must(
      `${version(`d.exec("PRAGMA user_version = ${now.trim()}")`)}; systemctl start zdd-agentd`,
    );
  });

  test('refuses a HAProxy older than 2.6', async () => {
    const { code, stdout } = await install(
      `printf '#!/bin/sh\\necho HAProxy version 2.4.22-0 2023/01/01\\n' >/tmp/old; chmod 755 /tmp/old
       ${ALONE(`mount --bind /tmp/old /usr/sbin/haproxy; ${INSTALL}`)}`,
    );
    expect(stdout).toMatch(/2\.4\.22-0 is too old: 2\.6 or newer is needed/);
    expect(code).toBe(3);
  });

  test('--uninstall leaves the apps running, after a reboot too; installed again it takes them over', async () => {
    const load = new SteadyRequests(`${host.url}/`, '');
    const { code, stdout } = await install('./install.sh --uninstall');
    expect(stdout).toContain('Apps and HAProxy run on');
    expect(code).toBe(0);
    expect((await load.stop()).losses).toEqual([]);
    await host.must('! command -v zdd-agent && ! systemctl is-active zdd-agentd');
    await host.reboot();
    await host.untilSucceeds(
      "curl -sD - -o /dev/null localhost | grep -i 'x-release: r1-'",
      20_000,
    );
    const pids = 'pgrep -u zdd-app-shop | sort';
    const before = await host.must(pids);
    expect((await install(INSTALL)).code).toBe(0);
    await shop.settled();
    expect(await host.must(pids)).toBe(before);
  });

  test('--uninstall --purge leaves nothing', async () => {
    const { code, stderr } = await install('./install.sh --uninstall --purge --yes');
    expect(code, stderr).toBe(0);
    expect(await leftovers(host)).toBe('');
    await host.must('dpkg --verify haproxy && systemctl is-active haproxy');
  });

  describe('on a host with a HAProxy of its own', () => {
    const SITE = `
frontend site
  bind :80
  mode http
  option idle-close-on-response
  default_backend site
backend site
  mode http
  server one 127.0.0.1:9000
`;
    let load: SteadyRequests;
    let before: readonly string[];

    beforeAll(async () => {
      await host.must(
        `systemd-run -q --unit=site node -e 'require("node:http").createServer((q, r) => r.end("my site")).listen(9000)'
         until ss -ltn | grep -q :9000; do sleep 0.1; done
         cat >>/etc/haproxy/haproxy.cfg && cp /etc/haproxy/haproxy.cfg /root/mine.cfg && systemctl restart haproxy`,
        { input: SITE },
      );
      await host.untilSucceeds('curl -s localhost | grep "my site"', 10_000);
      before = await stateOf(host);
      load = new SteadyRequests(`${host.url}/`, 'my site');
    });
    afterAll(async () => {
      await load.stop();
    });

    test('asks first, and shows what it would add', async () => {
      const { code, stdout, stderr } = await install('./install.sh --deploy-user deploy');
      expect(stdout).toMatch(/^ {4}\+# >>> zdd-agent: managed region/m);
      expect(stdout).not.toMatch(/^ {4}-[^-]/m);
      expect(stderr).toContain('--adopt');
      expect(code).toBe(4);
      expect(differences(before, await stateOf(host))).toEqual([]);
    });

    test('adds the managed region and keeps every other byte; the site loses nothing', async () => {
      const { code, stdout, stderr } = await install('./install.sh --adopt --deploy-user deploy');
      expect(code, stdout + stderr).toBe(0);
      const [mine, now] = await Promise.all([
        host.must('cat /root/mine.cfg'),
        host.must('cat /etc/haproxy/haproxy.cfg'),
      ]);
      expect(now.startsWith(mine)).toBe(true);
      expect(now.slice(mine.length).trimStart()).toMatch(
        /^# >>> zdd-agent: managed region[\s\S]*<<<\n$/,
      );
      expect((await install(INSTALL)).stdout).toContain('nothing to do');
      await shop.deploy('adopted', { routes: ['shop.example.com'] });
    });

    test('serves an app by a rule in the own frontend', async () => {
      await host.must(`sed -i --follow-symlinks 's/^  default_backend site/  use_backend zdd_shop if { hdr(host) shop.example.com }\\n&/' /etc/haproxy/haproxy.cfg
        systemctl reload haproxy`);
      await host.untilSucceeds(
        "curl -sD - -o /dev/null -H 'Host: shop.example.com' localhost | grep -i 'x-release: r1-'",
        10_000,
      );
      await shop.deploy('adopted again', { routes: ['shop.example.com'] });
      const doctor = await host.must('zdd-agent doctor || true');
      expect(doctor).not.toMatch(/FAIL|broken/);
    });

    test('gives the file back as it was, with what was written since', async () => {
      // Else HAProxy would be left with a rule that names a backend of ours.
      await host.must(`sed -i --follow-symlinks '/use_backend zdd_shop/d' /etc/haproxy/haproxy.cfg
        systemctl reload haproxy`);
      const { code, stderr } = await install('./install.sh --uninstall --purge --yes');
      expect(code, stderr).toBe(0);
      expect(await leftovers(host)).toBe('');
      expect(await host.must('cat /etc/haproxy/haproxy.cfg')).toBe(
        await host.must('cat /root/mine.cfg'),
      );
      const { answered, losses } = await load.stop();
      expect(losses).toEqual([]);
      expect(answered).toBeGreaterThan(300);
    });
  });

  test('installs from a clone', async () => {
    await host.must(`mkdir -p /root/clone/dist && cd /root/clone && cp /opt/zdd/install.sh . &&
      printf '{\\n  "version": "%s",\\n}\\n' "$(cat /opt/zdd/VERSION)" >package.json`);
    const line = 'cd /root/clone && ./install.sh --check --adopt';
    expect((await host.run(line)).stderr).toContain('npm run package');
    await host.put(
      await builtPackage('.tar.gz'),
      `/root/clone/dist/zdd-agent-${(await host.must('cat /opt/zdd/VERSION')).trim()}-linux-x64.tar.gz`,
    );
    expect((await host.run(line)).stdout).toContain('checks passed');
  });
});

describe.each(DISTRIBUTIONS)('the Debian package on %s', (distribution) => {
  let host: VpsHost;
  let shop: Shop;
  const apt = async (line: string): Promise<string> =>
    await host.must(`DEBIAN_FRONTEND=noninteractive apt-get -y ${line} 2>&1`);

  beforeAll(async () => {
    host = await VpsHost.up(distribution, 'deb');
    shop = new Shop(host);
    await host.put(await builtPackage('.deb'), '/root/zdd-agent.deb');
  });
  afterAll(async () => await host.down());

  test('brings HAProxy with it, and runs', async () => {
    await apt('install /root/zdd-agent.deb');
    await host.must('systemctl is-active zdd-agentd haproxy && usermod -aG zdd deploy');
    await shop.deploy('first');
  });

  test('upgrades without a word to the instances', async () => {
    const pids = 'pgrep -u zdd-app-shop | sort';
    const before = await host.must(pids);
    const load = new SteadyRequests(`${host.url}/`, '');
    await apt('install --reinstall /root/zdd-agent.deb');
    expect((await load.stop()).losses).toEqual([]);
    expect(await host.must(pids)).toBe(before);
    await host.must('systemctl is-active zdd-agentd');
  });

  test('removed, leaves the apps running', async () => {
    const load = new SteadyRequests(`${host.url}/`, '');
    await apt('remove zdd-agent');
    expect((await load.stop()).losses).toEqual([]);
    await host.must('! command -v zdd-agent && curl -sf -o /dev/null localhost');
  });

  test('installed again, takes them over', async () => {
    await apt('install /root/zdd-agent.deb');
    expect(await host.must('zdd-agent status')).toMatch(/shop +r1-/);
  });

  test('purged, leaves nothing', async () => {
    await apt('purge zdd-agent');
    expect(await leftovers(host)).toBe('');
    await host.must('dpkg --verify haproxy && systemctl is-active haproxy');
  });

  test('does not touch a customised haproxy.cfg, and says what to type', async () => {
    await host.must(
      'printf "\\nfrontend mine\\n  mode http\\n  bind :81\\n" >>/etc/haproxy/haproxy.cfg && systemctl reload haproxy',
    );
    const before = await host.must('md5sum /etc/haproxy/haproxy.cfg');
    expect(await apt('install /root/zdd-agent.deb')).toContain('install.sh --adopt');
    expect(await host.must('md5sum /etc/haproxy/haproxy.cfg')).toBe(before);
    await host.must('/usr/lib/zdd-agent/install.sh --adopt && systemctl is-active zdd-agentd');
  });
});

/** Files, users, groups and units of ours. */
async function leftovers(host: VpsHost): Promise<string> {
  const found = await host.must(
    `find /etc /usr /var/lib /run /var/log -xdev -name '*zdd*' ! -path '/var/log/journal/*' ! -path '/run/systemd/*' ! -path '/run/log/*'
     getent passwd | grep zdd; getent group | grep zdd
     systemctl list-units --all --no-legend '*zdd*' | grep -v not-found; true`,
  );
  return found.trim();
}

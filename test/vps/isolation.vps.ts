import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AS_ZDD, HandmadeApp } from './lab/handmade-app.ts';
import { type CommandResult, DISTRIBUTIONS, VpsHost } from './lab/host.ts';

/** How the kernel, systemd, polkit and HAProxy say no. Not among them: a command that is missing. */
const NO =
  /permission denied|not permitted|read-only file system|access denied|authentication (is )?required|insufficient permissions|too many levels of symbolic links|EACCES|EPERM|cannot set property|has a fragment file|^exit 7$|no.new.priv/im;
/** A process that one may not look at is not even listed (`ProtectProc=invisible`). */
const NOT_LISTED = /\/proc\/\d+\/\w+.*no such file/i;

/** What an instance must not get at, whatever its sandbox allows: refused by users and modes. */
const OF_OTHERS: readonly (readonly [claim: string, line: string])[] = [
  ["another app's environment", 'cat /var/lib/zdd-agent/apps/beta/slots/main/start'],
  ["another app's environment in /proc", 'cat /proc/$BETA/environ'],
  ["another app's open files in /proc", 'ls -l /proc/$BETA/fd/'],
  ["another app's shared folder", 'cat /var/lib/zdd-agent/apps/beta/shared/secret'],
  ["another app's releases", 'cat /var/lib/zdd-agent/apps/beta/releases/r1/server.mjs'],
  ["another app's folder", 'ls /var/lib/zdd-agent/apps/beta'],
  ["another app's home", 'ls /var/lib/zdd-agent/homes/beta'],
  ["another app's socket", 'CONNECT /run/zdd-agent/apps/beta/main.sock'],
  ["the list of another app's sockets", 'ls /run/zdd-agent/apps/beta'],
  ["a signal to another app's process", 'kill -0 $BETA'],
  ['the list of apps', 'ls /var/lib/zdd-agent/apps'],
  ["the agent's database", 'cat /var/lib/zdd-agent/agent.db'],
  ["the agent's configuration", 'cat /etc/zdd-agent/agent.yaml'],
  ["the agent's socket", 'CONNECT /run/zdd-agent/agent.sock'],
  ["HAProxy's admin socket", 'CONNECT /run/haproxy/admin.sock'],
  ["HAProxy's master socket", 'CONNECT /run/haproxy/master.sock'],
  ["HAProxy's configuration", 'cat /etc/haproxy/zdd/haproxy.cfg'],
  ['the list of what starts at boot', 'ls /var/lib/zdd-agent/active'],
  ['a request for the root step', 'touch /var/lib/zdd-agent/provision/alpha'],
  ['the root step', 'systemctl --no-ask-password start zdd-provision@alpha.service'],
  ["another app's instance", 'systemctl --no-ask-password stop zdd-app-beta@main.service'],
  ['its own instance, by way of systemd', 'systemctl --no-ask-password stop zdd-app-alpha@main'],
  ['a reload of HAProxy', 'systemctl --no-ask-password reload haproxy.service'],
  ['a change to its own release', 'echo x >>/var/lib/zdd-agent/apps/alpha/releases/r1/server.mjs'],
  ['a file in its own release', 'touch /var/lib/zdd-agent/apps/alpha/releases/r1/new'],
  ['a change to what starts it', 'echo x >>/var/lib/zdd-agent/apps/alpha/slots/main/start'],
  ['another folder beside its own', 'mkdir /var/lib/zdd-agent/apps/mine'],
  ['the output of all apps', 'journalctl -q -n1 ZDD_APP=beta || { echo EACCES >&2; false; }'],
];

/** What the sandbox adds. */
const OF_THE_HOST: readonly (readonly [claim: string, line: string])[] = [
  ['/etc', 'touch /etc/zdd-test'],
  ['/usr', 'touch /usr/zdd-test'],
  ['/var/lib', 'touch /var/lib/zdd-test'],
  ['the homes of people', 'ls /home'],
  ['a set-user-ID file', 'touch /tmp/f && chmod u+s /tmp/f'],
  ['sudo', 'sudo -n true'],
  ['a user namespace', 'unshare --user true'],
  ['a mount', 'unshare --mount true'],
  ['kernel settings', 'echo 1 >/proc/sys/kernel/panic'],
];

/** What the agent's user must not get from systemd or the file system. */
const OF_THE_AGENT: readonly (readonly [claim: string, line: string])[] = [
  ['restart HAProxy', 'systemctl restart haproxy.service'],
  ['stop HAProxy', 'systemctl stop haproxy.service'],
  ['kill HAProxy', 'systemctl kill haproxy.service'],
  ['stop ssh', 'systemctl stop ssh.service'],
  ['reload ssh', 'systemctl reload ssh.service'],
  [
    'stop another unit behind one of its own',
    'systemctl stop zdd-app-gamma@main.service ssh.service',
  ],
  [
    'stop a unit whose name only begins like its own',
    "systemctl stop 'zdd-app-alpha@main.service '",
  ],
  ['stop itself', 'systemctl stop zdd-agentd.service'],
  ['reload its own instance', 'systemctl reload zdd-app-alpha@main.service'],
  ['enable a unit', 'systemctl enable zdd-app-alpha@main.service'],
  ['mask a unit', 'systemctl mask ssh.service'],
  ['reload systemd', 'systemctl daemon-reload'],
  ['re-execute systemd', 'systemctl daemon-reexec'],
  ['change the environment of systemd', 'systemctl set-environment LD_PRELOAD=/tmp/x.so'],
  ['run a unit of its own making', 'systemd-run -q --wait true'],
  ['run one named like an instance', 'systemd-run -q --wait --unit=zdd-app-x@y.service true'],
  ['run one in the place of an instance', 'systemd-run -q --wait --unit=zdd-app-alpha@y true'],
  [
    'listen as one named like an instance',
    'systemd-run -q --unit=zdd-app-x@y --socket-property=ListenStream=/run/y true',
  ],
  ['reboot', 'systemctl start reboot.target'],
  [
    'change the user of an instance',
    'systemctl set-property --runtime zdd-app-alpha@main User=root',
  ],
  [
    'change the command of an instance',
    'systemctl set-property zdd-app-alpha@main ExecStart=/bin/sh',
  ],
  ['start an odd name as an app', "systemctl start 'zdd-provision@..-..-etc.service'"],
  ['start an app name with a slash', "systemctl start 'zdd-provision@a\\x2fb.service'"],
  ['stop the root step half-way', 'systemctl stop zdd-provision@alpha.service'],
  ['write /etc', 'touch /etc/zdd-test'],
  ['write /usr', 'touch /usr/lib/zdd-agent/zdd-test'],
  ['write units', 'touch /etc/systemd/system/zdd-app-alpha@.service'],
  ['write polkit rules', 'touch /etc/polkit-1/rules.d/00-zdd.rules'],
  ['write beside its HAProxy folder', 'touch /etc/haproxy/zdd-test'],
  ['replace the link haproxy.cfg', 'ln -sfn /tmp/x /etc/haproxy/haproxy.cfg'],
  ['swap its HAProxy folder for a link', 'mv /etc/haproxy/zdd /etc/haproxy/old'],
  ['put something among the folders of the apps', 'ln -s /etc /var/lib/zdd-agent/apps/mine'],
  ["swap an app's folder for a link", 'mv /var/lib/zdd-agent/apps/alpha /var/lib/zdd-agent/apps/x'],
  ['swap the folder of all apps for a link', 'mv /var/lib/zdd-agent/apps /var/lib/zdd-agent/old'],
  ['swap the folder of homes for a link', 'mv /var/lib/zdd-agent/homes /var/lib/zdd-agent/old'],
  ['swap the folder of sockets for a link', 'mv /run/zdd-agent/apps /run/zdd-agent/old'],
  ['put something among the socket folders', 'ln -s /etc /run/zdd-agent/apps/mine'],
  ['write its own configuration', 'echo x >>/etc/zdd-agent/agent.yaml'],
  ['become root', 'sudo -n true'],
];

/** What a login that is in no group of ours must not get at. */
const OF_A_STRANGER: readonly (readonly [claim: string, line: string])[] = [
  ["an instance's socket", 'CONNECT /run/zdd-agent/apps/alpha/main.sock'],
  ["an app's environment", 'cat /var/lib/zdd-agent/apps/alpha/slots/main/start'],
  ["an app's environment in /proc", 'cat /proc/$ALPHA/environ'],
  ["an app's shared folder", 'cat /var/lib/zdd-agent/apps/alpha/shared/secret'],
  ["the agent's socket", 'CONNECT /run/zdd-agent/agent.sock'],
  ['a deployment', 'zdd-agent status || { echo EACCES >&2; false; }'],
  ["the agent's database", 'cat /var/lib/zdd-agent/agent.db'],
  ["HAProxy's admin socket", 'CONNECT /run/haproxy/admin.sock'],
  ['a file in the state folder', 'touch /var/lib/zdd-agent/mine'],
  ['a socket in the place of the agent', 'touch /run/zdd-agent/mine'],
  ['an instance', 'systemctl --no-ask-password stop zdd-app-alpha@main.service'],
];

for (const distribution of DISTRIBUTIONS) {
  describe(distribution, () => {
    let host: VpsHost;
    let alpha: HandmadeApp;
    let pid: string;
    let prelude: string;

    beforeAll(async () => {
      host = await VpsHost.installed(distribution, 'isolation');
      alpha = new HandmadeApp(host, 'alpha');
      const beta = new HandmadeApp(host, 'beta');
      await host.must('useradd --create-home visitor');
      await Promise.all([alpha.start(), beta.start()]);
      pid = await alpha.pid();
      prelude = `ALPHA=${pid} BETA=${await beta.pid()}
        CONNECT() { curl -sS --max-time 5 --unix-socket "$1" http://x/ || { echo "exit $?" >&2; false; }; }\n`;
    });
    afterAll(async () => {
      await host.down();
    });

    describe('an app in its sandbox is refused', () => {
      it.each([...OF_OTHERS, ...OF_THE_HOST])('%s', async (_claim, line) => {
        refused(await alpha.run(prelude + line));
      });
    });

    describe("an app's user, without any sandbox, is refused", () => {
      it.each(OF_OTHERS)('%s', async (_claim, line) => {
        refused(await alpha.runUnconfined(prelude + line));
      });
    });

    describe("the agent's user may not", () => {
      it.each(OF_THE_AGENT)('%s', async (_claim, line) => {
        refused(await host.run(`${AS_ZDD} sh`, { input: prelude + line }));
      });
    });

    describe('a login in no group of ours is refused', () => {
      it.each(OF_A_STRANGER)('%s', async (_claim, line) => {
        refused(
          await host.run('setpriv --reuid=visitor --regid=visitor --init-groups sh', {
            input: prelude + line,
          }),
        );
      });
    });

    it('every file and process that was refused is there: root gets at each of them', async () => {
      const reads = [...OF_OTHERS, ...OF_A_STRANGER]
        .map(([, line]) => line)
        .filter((line) => /^(cat|ls|kill|CONNECT)/.test(line));
      for (const line of reads) {
        const { code, stderr } = await host.run(`sh`, { input: prelude + line });
        // HAProxy's command line answers in its own words, which curl takes for a bad answer.
        expect(code === 0 || stderr.includes('HTTP/0.9'), `${line}\n${stderr}`).toBe(true);
      }
    });

    it('nothing that was refused has happened all the same', async () => {
      await host.must(
        'for u in haproxy ssh zdd-app-alpha@main zdd-app-beta@main; do systemctl is-active $u || exit; done',
      );
      expect(await alpha.pid()).toBe(pid);
      await host.must(
        'test ! -e /etc/zdd-test && test ! -e /usr/zdd-test && test ! -L /var/lib/zdd-agent/apps',
      );
    });

    it('whoever must reach an instance does: HAProxy, the agent, the app itself', async () => {
      const line = `curl -sS -d true --unix-socket ${alpha.socket} http://app/`;
      for (const who of [`${AS_ZDD}`, 'setpriv --reuid=haproxy --regid=haproxy --clear-groups']) {
        expect(await host.must(`${who} ${line}`)).toContain('"code":0');
      }
      expect((await alpha.run(line)).stdout).toContain('"code":0');
    });

    it('an app has what apps need', async () => {
      const { code, stdout, stderr } = await alpha.run(`set -e
        test "$HOME" = /var/lib/zdd-agent/homes/alpha
        for dir in "$HOME" /var/lib/zdd-agent/apps/alpha/shared /tmp /var/tmp /dev/shm; do
          echo x >"$dir/mine"; rm "$dir/mine"
        done
        touch /tmp/f; chown "$(id -u):$(id -g)" /tmp/f; nice -n 5 true
        busctl list >/dev/null
        node -e '
          const os = require("node:os");
          const net = require("node:net");
          if (os.cpus().length === 0) throw new Error("no cpus");
          if (os.networkInterfaces().lo === undefined) throw new Error("no interfaces");
          require("node:dgram").createSocket("udp4").bind(0, function () { this.close(); });
          net.connect(22, "127.0.0.1").once("data", function (hello) {
            console.log(String(hello));
            this.destroy();
          });
        '`);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain('SSH-2.0');
    });

    it('a link in the place of a socket leads HAProxy nowhere', async () => {
      for (const target of ['/run/zdd-agent/apps/beta/main.sock', '/run/haproxy/admin.sock']) {
        const link = '/run/zdd-agent/apps/alpha/link.sock';
        expect((await alpha.run(`ln -sfn ${target} ${link}`)).code).toBe(0);
        refused(
          await host.run(
            `nsenter -t "$(systemctl show -P MainPID haproxy)" -m setpriv --reuid=haproxy --regid=haproxy --clear-groups sh`,
            { input: `${prelude} test -S ${target} && CONNECT ${link}` },
          ),
        );
      }
    });

    it('an app that fills its socket folder does not fill /run', async () => {
      const { stderr } = await alpha.run(
        'dd if=/dev/zero of=/run/zdd-agent/apps/alpha/fill bs=1M count=64',
      );
      expect(stderr).toContain('No space left on device');
      await alpha.runUnconfined('rm /run/zdd-agent/apps/alpha/fill');
      await host.must('touch /run/zdd-test && rm /run/zdd-test');
    });

    it('HAProxy runs without root, and serves, reloads and restarts', async () => {
      const users = await host.must('ps -o user= -C haproxy | sort -u');
      expect(users.trim()).toBe('haproxy');
      // CAP_NET_BIND_SERVICE is bit 10.
      const caps = await host.must(
        'grep CapBnd "/proc/$(systemctl show -P MainPID haproxy)/status"',
      );
      expect(caps.trim()).toMatch(/0000000000000400$/);
      await host.must(`${AS_ZDD} systemctl reload haproxy.service`);
      await host.untilSucceeds('curl -so /dev/null http://127.0.0.1/', 5_000);
      await host.must('systemctl restart haproxy.service');
      await host.untilSucceeds('curl -so /dev/null http://127.0.0.1/', 5_000);
    });

    it('systemd finds every unit exposed by 2.0 at most, and understands every line of it', async () => {
      const units = [
        ...['zdd-agentd.service', 'zdd-apps.service', 'haproxy.service'],
        ...['zdd-app-alpha@main.service', 'zdd-once-alpha@x.service'],
      ];
      for (const unit of units) {
        const said = await host.must(
          `SYSTEMD_COLORS=0 SYSTEMD_EMOJI=0 systemd-analyze security --no-pager --threshold=20 ${unit}`,
        );
        process.stdout.write(`${distribution} ${said.trim().split('\n').at(-1)}\n`);
      }
      const { stderr } = await host.run(
        `systemd-analyze verify --man=no ${units.join(' ')} zdd-app-alpha@main.socket zdd-provision@alpha.service zdd-sockets.service 2>&1 | grep -E '^/.*zdd' >&2`,
      );
      expect(stderr).toBe('');
      const unknown = await host.must(
        'journalctl -b -o cat | grep -iE "unknown (key|lvalue|section)" || true',
      );
      expect(unknown).toBe('');
    });
  });
}

function refused({ code, stdout, stderr }: CommandResult): void {
  expect(code, stdout).not.toBe(0);
  const said = stderr + stdout;
  if (!NOT_LISTED.test(said)) expect(said).toMatch(NO);
}

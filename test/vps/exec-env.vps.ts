import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Running, until } from '../cli/run-cli.ts';
import { onTerminal } from '../exec/terminal.ts';
import { HandmadeApp } from './lab/handmade-app.ts';
import { type CommandResult, DISTRIBUTIONS, VpsHost } from './lab/host.ts';
import { Laptop } from './lab/laptop.ts';
import { Tiny } from './lab/tiny.ts';

const SECRET = 'geheim-4711';
const NO =
  /permission denied|not permitted|access denied|EACCES|EPERM|exit 7$|ZDD_AGENT_UNREACHABLE/im;
/** A process that one may not look at is not even listed (`ProtectProc=invisible`). */
const NOT_LISTED = /\/proc\/\d+\/\w+.*no such file/i;

/** Ways to a value, for whoever is neither the app nor the agent. `$SLOT` and `$PID` are of tiny. */
const WAYS: readonly (readonly [claim: string, line: string])[] = [
  ['what starts the instance', 'cat /var/lib/zdd-agent/apps/tiny/slots/$SLOT/start'],
  ['what the agent notes of it', 'cat /var/lib/zdd-agent/apps/tiny/slots/$SLOT/spec.json'],
  ['its environment in /proc', 'cat /proc/$PID/environ'],
  ["the agent's database", 'cat /var/lib/zdd-agent/agent.db'],
  ["the agent's newest writes", 'cat /var/lib/zdd-agent/agent.db-wal'],
  [
    'the control API',
    'curl -sS --unix-socket /run/zdd-agent/agent.sock http://x/v1/apps/tiny/environment?values=1 || { echo "exit $?" >&2; false; }',
  ],
];

for (const distribution of DISTRIBUTIONS) {
  describe(distribution, () => {
    let host: VpsHost;
    let tiny: Tiny;
    let beta: HandmadeApp;
    let laptop: Laptop;
    let prelude: string;

    const slot = 'r1-d1-web-1';
    const pidOf = async (): Promise<string> =>
      (await tiny.property(tiny.unit(1), 'MainPID')).trim();
    const environOf = async (pid: string): Promise<string> =>
      await host.must(`tr '\\0' '\\n' </proc/${pid}/environ`);

    const overSsh = ([verb = '', ...rest]: readonly string[], input = ''): Running =>
      laptop.start([verb, '--app', 'tiny', ...rest], input);

    beforeAll(async () => {
      host = await VpsHost.installed(distribution, 'exec-env');
      tiny = new Tiny(host);
      beta = new HandmadeApp(host, 'beta');
      laptop = await Laptop.of(host);
      await host.must('useradd --create-home visitor');
      const { code, stderr } = await host.as('deploy', 'zdd-agent env set TOKEN --app tiny', {
        input: `${SECRET}\n`,
      });
      expect(code, stderr).toBe(0);
      await tiny.deploy('one', { console: 'echo console of $ZDD_APP as $(id -un)' });
      await beta.start();
      prelude = `SLOT=${slot} PID=${await pidOf()}\n`;
    });
    afterAll(async () => {
      await host?.down();
      await laptop?.[Symbol.asyncDispose]();
    });

    it('the instances have the value', async () => {
      expect(await environOf(await pidOf())).toContain(`TOKEN=${SECRET}\n`);
    });

    describe('another app is refused', () => {
      it.each(WAYS)('%s', async (_claim, line) => {
        refused(await beta.run(prelude + line));
        refused(await beta.runUnconfined(prelude + line));
      });
    });

    describe('another user is refused', () => {
      it.each(WAYS)('%s', async (_claim, line) => {
        refused(
          await host.run('setpriv --reuid=visitor --regid=visitor --init-groups sh', {
            input: prelude + line,
          }),
        );
      });
    });

    it('each of these ways leads there: root finds the value', async () => {
      for (const [claim, line] of WAYS) {
        const { stdout } = await host.run('sh', { input: `${prelude}( ${line} ) | tr -d '\\0'` });
        // The newest writes of a database may have been moved into it.
        if (!claim.startsWith("the agent's")) expect(stdout, claim).toContain(SECRET);
      }
      await host.must(`cat /var/lib/zdd-agent/agent.db* | grep -qaF ${SECRET}`);
    });

    it('no unit, command line, log or file that others may read has the value', async () => {
      for (const line of [
        "systemctl show 'zdd-app-tiny@*' zdd-agentd",
        "systemctl cat 'zdd-app-tiny@*' zdd-agentd",
        'ps -eo args',
        'journalctl -b -o export',
        'zdd-agent events --json',
        'cat /var/lib/zdd-agent/active/*',
      ]) {
        expect(await host.must(line), line).not.toContain(SECRET);
      }
      const modes = await host.must(
        `grep -rlsF ${SECRET} /etc /run /tmp /var --exclude-dir=journal | xargs -r stat -c '%A %n'`,
      );
      expect(modes.trim()).not.toBe('');
      for (const line of modes.trim().split('\n')) expect(line).toMatch(/^-......--- /);
    });

    it('exec runs as the user of the app, in its sandbox, with its variables', async () => {
      const script =
        'id -un; pwd; echo "$TOKEN $ZDD_APP $HOME"; touch /etc/x; ls /home; sudo -n true; cat';
      const { code, stdout, stderr } = await overSsh(
        ['exec', '--', 'sh', '-c', script],
        'in',
      ).ended();
      expect(stdout).toMatch(
        /^zdd-app-tiny\n\/var\/lib\/zdd-agent\/apps\/tiny\/releases\/r1-\w+\ngeheim-4711 tiny \/var\/lib\/zdd-agent\/homes\/tiny\nin$/,
      );
      expect(stderr).toMatch(/touch: .*Read-only file system/);
      expect(stderr).toMatch(/ls: .*(Permission denied|\/home)/);
      expect(code).toBe(0);
      expect((await overSsh(['exec', '--', 'sh', '-c', 'exit 9']).ended()).code).toBe(9);
    });

    it('what exec is given and gives is in no journal, and nothing of it is left', async () => {
      await overSsh(['exec', '--', 'sh', '-c', 'echo wort-0815'], '').ended();
      expect(await host.must('journalctl -b -o export')).not.toContain('wort-0815');
      await host.until('its unit and folder to be gone', 10_000, async () => {
        const units = await host.must(
          "systemctl list-units --all --plain --no-legend 'zdd-once-*'",
        );
        const folders = await host.must('ls /var/lib/zdd-agent/apps/tiny/slots');
        return units.trim() === '' && folders.trim() === slot;
      });
    });

    it('on a terminal, over SSH: its size and its changes, Ctrl-C, exit code', async () => {
      const { args, env } = laptop.way;
      const shell = await onTerminal(
        ['exec', ...args, '--app', 'tiny', '--', 'sh'],
        { env },
        'stty -a;',
      );
      shell.type('id -un; stty size\r');
      await shell.says('zdd-app-tiny');
      await shell.says('30 100');
      shell.resize(41, 123);
      await until(
        () => {
          shell.type('stty size\r');
          return shell.stdout().includes('41 123');
        },
        () => `the new size in ${shell.stdout()}`,
      );
      shell.type('echo "be"gun; sleep 1000\r');
      await shell.says('begun');
      shell.type('\u0003');
      shell.type('echo "sti"ll here; exit 5\r');
      const { code, stdout } = await shell.ended();
      expect(stdout).toContain('still here');
      expect(stdout).toMatch(/ icanon\b.* echo\b/s);
      expect(code).toBe(5);
    });

    it('console runs what zdd.yaml says', async () => {
      const { stdout } = await overSsh(['console']).ended();
      expect(stdout).toBe('console of tiny as zdd-app-tiny\n');
    });

    it.each(['', '-t'])('a client that is cut takes its command with it (%s)', async (flag) => {
      const flags = flag === '' ? [] : [flag];
      const script = 'trap "" HUP TERM; echo begun; sleep 4242; sleep 4242';
      const running = overSsh(['exec', ...flags, '--', 'sh', '-c', script]);
      await running.says('begun');
      running.child.kill('SIGKILL');
      await host.until('the command to be gone', 20_000, async () => {
        return (await host.run('pgrep -f "[s]leep 4242"')).code === 1;
      });
    });

    it('a daemon that is killed, or restarted, leaves no command behind', async () => {
      for (const line of ['systemctl kill -s KILL zdd-agentd', 'systemctl restart zdd-agentd']) {
        const script = 'trap "" HUP TERM PIPE; echo begun; sleep 4343; sleep 4343';
        const running = overSsh(['exec', '--', 'sh', '-c', script]);
        await running.says('begun');
        await host.must(line);
        expect((await running.ended()).code).toBe(11);
        await host.until('the command to be gone', 30_000, async () => {
          return (await host.run('pgrep -f "[s]leep 4343"')).code === 1;
        });
        await host.untilSucceeds('zdd-agent status', 20_000);
      }
    });

    it('the value is there after a crash, a restart of the unit and a reboot', async () => {
      const unit = tiny.unit(1);
      for (const line of [`systemctl kill -s KILL '${unit}'`, `systemctl restart '${unit}'`]) {
        const before = await pidOf();
        await host.must(line);
        await host.until('another process', 20_000, async () => {
          const now = await pidOf();
          return now !== '0' && now !== before && (await environOf(now)).includes('ZDD_SLOT=');
        });
        expect(await environOf(await pidOf())).toContain(`TOKEN=${SECRET}\n`);
      }
      await host.reboot();
      await tiny.serves('r1');
      expect(await environOf(await pidOf())).toContain(`TOKEN=${SECRET}\n`);
      const { stdout } = await host.as('deploy', 'zdd-agent env list --app tiny --show');
      expect(stdout).toBe(`TOKEN=${SECRET}\n`);
    });
  });
}

function refused({ code, stdout, stderr }: CommandResult): void {
  expect(stdout + stderr).not.toContain(SECRET);
  expect(code, stdout).not.toBe(0);
  if (!NOT_LISTED.test(stderr + stdout)) expect(stderr + stdout).toMatch(NO);
}

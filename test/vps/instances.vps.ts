import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DISTRIBUTIONS, VpsHost } from './lab/host.ts';
import { Tiny } from './lab/tiny.ts';

/** Somebody who wants a restart, and asks for it without a pause. */
const ASK_UNTIL_STARTED = `
until curl -s --unix-socket /run/zdd-agent/agent.sock -H content-type:application/json \\
  -d '{"owner":"me"}' http://x/v1/apps/tiny/restart | grep -q started; do :; done
`;
const LIMITS = { memory: '96M', cpu: '150%', tasks: 64, nofile: 512 };

describe.each(DISTRIBUTIONS)('instances as systemd units, on %s', (distribution) => {
  let host: VpsHost;
  let tiny: Tiny;
  /** Deployments so far; each makes a release of the same number. */
  let n = 0;

  beforeAll(async () => {
    host = await VpsHost.installed(distribution, 'instances');
    tiny = new Tiny(host);
  });
  afterAll(async () => {
    await host?.down();
  });

  async function deploy(
    config: Parameters<Tiny['deploy']>[1] = {},
    web: Parameters<Tiny['deploy']>[2] = {},
  ): Promise<void> {
    n += 1;
    await tiny.deploy(`release${n}`, config, web);
    await tiny.serves(`r${n}`);
  }

  async function onlyOneIsLeft(): Promise<void> {
    await host.until('old instances to be gone', 30_000, async () => {
      const slots = await host.must('ls /var/lib/zdd-agent/apps/tiny/slots');
      return slots.trim() === `r${n}-d${n}-web-1` && (await tiny.running()).length <= 2;
    });
  }

  test('run as the user of their app, within their limits', async () => {
    await deploy({}, { limits: LIMITS });
    const self: unknown = JSON.parse(await tiny.ask('/self'));
    expect(self).toMatchObject({
      nofile: '512',
      user: 'zdd-app-tiny',
      home: '/var/lib/zdd-agent/homes/tiny',
    });
    const unit = tiny.unit(1);
    expect(await tiny.property(unit, 'MemoryMax')).toBe(String(96 * 1024 ** 2));
    expect(await tiny.property(unit, 'CPUQuotaPerSecUSec')).toBe('1.500000s');
    expect(await tiny.property(unit, 'TasksMax')).toBe('64');
    expect(await tiny.ask('/tasks')).toBe('EAGAIN');
  });

  test('have their output in the journal, where an admin and the agent find it', async () => {
    const fields = await host.must('journalctl -o json ZDD_APP=tiny ZDD_SLOT=r1-d1-web-1');
    expect(fields).toContain('"MESSAGE":"r1 listens"');
    const logs = await host.as('deploy', 'cd release1 && zdd-agent logs --release r1 --json');
    expect(logs.stdout).toMatch(/"release":"r1-[0-9a-f]{7}".*"text":"r1 listens"/);
    const others = await host.as('deploy', 'cd release1 && zdd-agent logs --release r2 --json');
    expect(others.stdout).not.toContain('listens');
  });

  test.each([
    ['SIGKILL by anybody', 'kill -KILL $PID', 'SIGKILL'],
    ['a crash', 'kill -SEGV $PID', 'SIGSEGV'],
    ['an exit', 'curl -s "localhost/exit?code=3"', 'exit code 3'],
    ['an exit without an error', 'curl -s "localhost/exit?code=0"', 'exit code 0'],
    ['memory', 'curl -s localhost/eat', 'SIGKILL, out of memory'],
  ])('come back after %s, and it is told', async (_what, command, reason) => {
    const since = await tiny.lastEvent();
    const pid = await tiny.property(tiny.unit(1), 'MainPID');
    await host.run(command.replace('$PID', pid));
    await host.until('another process to serve', 40_000, async () => {
      const answer = await tiny.ask();
      return answer.includes('"pid":') && !answer.includes(`"pid":${pid}}`);
    });
    await tiny.told(reason, since, (told) => told.type === 'instance_exited');
    const exits = await tiny.exits(since);
    expect(exits.map((exit) => exit.reason)).toEqual([reason]);
    expect(exits[0]?.restartInMs).toBeGreaterThan(0);
    expect(exits[0]?.release).toMatch(/^r1-/);
  });

  test('that crash at every start are not given up, and can be replaced while they wait', async () => {
    const unit = tiny.unit(1);
    // What the agent does after a minute without an end.
    await host.must(`systemctl reset-failed ${unit}`);
    expect(await tiny.property(unit, 'NRestarts')).toBe('0');
    await host.must(`touch ${tiny.state}/crash-r1; systemctl kill -s KILL ${unit}`);
    await host.until('four more starts', 60_000, async () => {
      return Number(await tiny.property(unit, 'NRestarts')) >= 4;
    });
    expect(await tiny.property(unit, 'ActiveState')).not.toBe('failed');
    await deploy();
    await onlyOneIsLeft();
    expect(await host.must('systemctl list-units --failed --no-legend "zdd-*"')).toBe('');
    expect(await host.must('ls /var/lib/zdd-agent/active')).toBe(`${tiny.unit(2)}\n`);
  });

  test('that do not end when asked are killed after their grace, by the agent', async () => {
    await deploy({}, { env: { STUBBORN: '1' }, stop: { grace: '700ms' } });
    await deploy();
    await onlyOneIsLeft();
    const said = await host.must('journalctl -o cat ZDD_APP=tiny ZDD_SLOT=r3-d3-web-1');
    expect(said).toContain('asked to end\n');
    expect(said).toContain('ended: killed KILL');
  });

  test('that listen on an inherited socket lose nothing that waits while they are down', async () => {
    await deploy({}, { listen: 'fd', env: { SLOW: '1500' } });
    const self: unknown = JSON.parse(await tiny.ask('/self'));
    expect(self).toMatchObject({ fds: '1', socket: null });
    const unit = tiny.unit(n);
    await host.must(`systemctl kill -s KILL ${unit}`);
    // All of them come while nobody accepts: the kernel keeps them until the next process does.
    const socket = `/run/zdd-agent/apps/tiny/r${n}-d${n}-web-1.sock`;
    const answers = await host.must(
      `for i in $(seq 20); do curl -s -m 20 --unix-socket ${socket} http://tiny/ & done; wait`,
    );
    expect(answers.split(`"release":"r${n}-`).length - 1, answers).toBe(20);
  });

  test('keep their listener through a crash loop under connections', async () => {
    const unit = tiny.unit(n);
    await host.must(`touch ${tiny.state}/crash-r${n}; systemctl kill -s KILL ${unit}`);
    const socket = `/run/zdd-agent/apps/tiny/r${n}-d${n}-web-1.sock`;
    const before = Number(await tiny.property(unit, 'NRestarts'));
    const waiting = host.must(`curl -s -m 60 --unix-socket ${socket} http://tiny/`);
    await host.until('two more starts', 60_000, async () => {
      return Number(await tiny.property(unit, 'NRestarts')) >= before + 2;
    });
    await host.must(`rm ${tiny.state}/crash-r${n}`);
    expect(await waiting).toContain(`"release":"r${n}-`);
    await deploy();
    await onlyOneIsLeft();
    expect(await host.must('ls /run/zdd-agent/apps/tiny')).toBe(`r${n}-d${n}-web-1.sock\n`);
  });

  test('whose command does not exist fail the deploy at once, and leave nothing', async () => {
    const { code, stderr } = await tiny.push('missing', {}, { run: 'no-such-server --port 1' });
    n += 1;
    expect(code).toBe(20);
    expect(stderr).toContain('ZDD_START_COMMAND_NOT_FOUND');
    expect(stderr).toContain('no-such-server: not found');
    await host.until('nothing of it to be left', 20_000, async () => {
      const left = await host.must(
        `ls /var/lib/zdd-agent/apps/tiny/slots /var/lib/zdd-agent/active`,
      );
      return !left.includes(`d${n}-`);
    });
    expect(await tiny.running()).toEqual([tiny.unit(n - 1)]);
  });

  describe('the release command', () => {
    const RELEASE = `sh -c 'echo begun >>state/ran; sleep 4; echo ended >>state/ran'`;

    /** Pushes a release and comes back while its release command runs. */
    async function pushUntilItRuns(
      release: string,
    ): Promise<{ since: number; pushed: Promise<unknown> }> {
      n += 1;
      await host.must(`rm -f ${tiny.state}/ran`);
      const since = await tiny.lastEvent();
      const pushed = tiny.push(`release${n}`, { release });
      await host.untilSucceeds(`grep -q begun ${tiny.state}/ran`, 30_000);
      return { since, pushed };
    }

    test.each(['KILL', 'TERM'])('lives on, once, when the agent gets SIG%s', async (signal) => {
      const { since, pushed } = await pushUntilItRuns(RELEASE);
      await host.must(`systemctl kill -s ${signal} --kill-who=main zdd-agentd`);
      await tiny.told('the end', since, (told) => told.type === 'deployment_ended');
      const ended = (await tiny.events(since)).find((told) => told.type === 'deployment_ended');
      expect(ended).toMatchObject({ receipt: { outcome: 'succeeded' } });
      expect(await host.must(`cat ${tiny.state}/ran`)).toBe('begun\nended\n');
      expect((await tiny.events(since)).filter((told) => told.type === 'recovered')).toMatchObject([
        { decision: 'finish', reason: 'the release command ran on meanwhile' },
      ]);
      await pushed;
      await onlyOneIsLeft();
    });

    test('ends with an abort', async () => {
      const { pushed } = await pushUntilItRuns(RELEASE.replace('sleep 4', 'sleep 300'));
      await host.must(`cd /home/deploy/release${n} && zdd-agent abort`);
      await pushed;
      await host.until('its unit to be gone', 20_000, async () => {
        return !(await tiny.running()).some((unit) => unit.includes('once'));
      });
      expect(await host.must(`cat ${tiny.state}/ran`)).toBe('begun\n');
    });

    test('that fails is told with its last words', async () => {
      n += 1;
      const { code, stderr } = await tiny.push(`release${n}`, {
        release: `sh -c 'echo "no such table: users" >&2; exit 3'`,
      });
      expect(code).toBe(20);
      expect(stderr).toContain('the release command exited with 3');
      expect(stderr).toContain('no such table: users');
      await host.until('it to be forgotten', 20_000, async () => {
        return (await host.must('systemctl list-units --failed --no-legend "zdd-*"')) === '';
      });
    });
  });

  test('come back after a boot without the agent, within their limits', async () => {
    await deploy({}, { limits: LIMITS });
    await onlyOneIsLeft();
    await host.must('systemctl mask zdd-agentd.service');
    await host.reboot();
    await tiny.serves(`r${n}`);
    expect(await tiny.property(tiny.unit(n), 'MemoryMax')).toBe(String(96 * 1024 ** 2));
    // An admin's stop lasts until the agent starts.
    await host.must(`systemctl stop ${tiny.unit(n)}; systemctl unmask zdd-agentd.service`);
    await host.must('systemctl start zdd-agentd');
    await tiny.serves(`r${n}`);
    expect(await tiny.property(tiny.unit(n), 'MemoryMax')).toBe(String(96 * 1024 ** 2));
    const pid = await tiny.property(tiny.unit(n), 'MainPID');
    await host.must('systemctl restart zdd-agentd');
    expect(await tiny.ask()).toContain(`"pid":${pid}}`);
    const status = await host.must('zdd-agent status --json');
    expect(status).toContain('"state":"running"');
  });

  test.each(['KILL', 'TERM'])(
    'a contract runs on when the agent gets SIG%s, and nobody deploys before its end',
    async (signal) => {
      await host.must(`rm -f ${tiny.state}/contract`);
      const contract = `sh -c 'echo begun >>state/contract; sleep 8; echo ended >>state/contract'`;
      await tiny.deploy(`contract-${signal}`, { contract, warm: '2s' });
      const since = await tiny.lastEvent();
      // While the release before is warm: what is cleared away after it must not be the contract.
      const run = host.run(`cd /home/deploy/contract-${signal} && zdd-agent contract --now`);
      await host.untilSucceeds(`grep -q begun ${tiny.state}/contract`, 30_000);
      await host.write('/tmp/ask', ASK_UNTIL_STARTED);
      const asking = host.run('timeout 60 sh /tmp/ask');
      await host.must(`systemctl kill -s ${signal} --kill-who=main zdd-agentd`);
      expect((await asking).code).toBe(0);
      await tiny.told('the end', since, (told) => told.type === 'deployment_ended');
      const story = (await tiny.events(since)).filter(
        ({ type }) => type === 'contract' || type === 'deployment_started',
      );
      expect(story).toMatchObject([
        { type: 'contract', outcome: 'started' },
        { type: 'contract', outcome: 'ok' },
        { type: 'deployment_started', kind: 'restart' },
      ]);
      expect(await host.must(`cat ${tiny.state}/contract`)).toBe('begun\nended\n');
      expect((await run).code).toBe(0);
      await host.until('the old instance to be gone', 30_000, async () => {
        return (await tiny.running()).length === 1;
      });
    },
  );
});

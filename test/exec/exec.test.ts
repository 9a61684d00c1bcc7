import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { auditReply } from '../../agent/protocol/audit.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import { CLI, cli, environment, type Ran, startCli, until, watchChild } from '../cli/run-cli.ts';
import { push } from '../deploys/shop.ts';
import { onTerminal } from './terminal.ts';

let host: PrivateHost;
beforeAll(async () => {
  host = await PrivateHost.start();
  const { code, stderr } = await push(host, {
    behaviour: { version: '1' },
    config: {
      console: 'echo this is the console of $ZDD_APP',
      processes: { web: { env: { FROM_ZDD_YAML: 'yes' }, limits: { nofile: 512 } } },
    },
  });
  expect(code, stderr).toBe(0);
});
afterAll(async () => {
  await host.remove();
});

/** The CLI with bytes on its stdin. */
function exec(args: readonly string[], input: string | Buffer = ''): Promise<Ran> {
  const child = spawn(CLI, args, {
    env: environment({ socket: host.socket }),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  return watchChild(child, args.join(' ')).ended();
}

/** Whether a process with this word on its command line is there. */
function runs(word: string): boolean {
  return readdirSync('/proc').some((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').includes(word);
    } catch {
      return false;
    }
  });
}

/** A number that is in no other command line: `sleep` takes it for a time. */
const aLongTime = () => `${2_000_000 + Math.floor(Math.random() * 1_000_000)}`;

test('input, output, errors and exit code are those of the command', async () => {
  const { code, stdout, stderr } = await exec(
    ['exec', '--', 'sh', '-c', 'cat; echo to stderr >&2; exit 7'],
    'from stdin\n',
  );
  expect({ code, stdout, stderr }).toEqual({
    code: 7,
    stdout: 'from stdin\n',
    stderr: 'to stderr\n',
  });
});

test('it runs in the folder of the live release with the variables of its process type', async () => {
  const script = 'pwd; cat behaviour.json; env; echo "files: $(ulimit -n)"';
  const { stdout } = await exec(['exec', '--', 'sh', '-c', script]);
  expect(stdout).toMatch(/apps\/shop\/releases\/r1-[0-9a-f]{7}\n/);
  expect(stdout).toContain('"version":"1"');
  expect(stdout).toContain('FROM_ZDD_YAML=yes\n');
  expect(stdout).toContain('files: 512\n');
  expect(stdout).toMatch(/ZDD_APP=shop\n/);
  expect(stdout).toMatch(/ZDD_RELEASE=r1-/);
  expect(stdout).toMatch(/ZDD_SLOT=shop\.r1-d1-exec-\d+\n/);
  // A second server on the place of an instance would take its requests.
  expect(stdout).not.toMatch(/^(PORT|SOCKET|LISTEN_FDS)=/m);
});

test('ten megabytes come back byte for byte, whichever way is slow', async () => {
  const bytes = randomBytes(10_000_000);
  const sum = createHash('sha256').update(bytes).digest('hex');
  const there = await exec(['exec', '--', 'sh', '-c', 'sleep 0.5; sha256sum'], bytes);
  expect(there.stdout).toContain(sum);
  // Latin-1 in both directions: what is no UTF-8 must not be touched.
  const back = await exec(
    ['exec', '--', 'sh', '-c', 'sha256sum >&2; printf "\\377\\000\\200" | od -An -tx1'],
    bytes,
  );
  expect(back.stderr).toContain(sum);
  expect(back.stdout.trim()).toBe('ff 00 80');
  const echoed = await exec(['exec', '--', 'sh', '-c', 'head -c 10000000 /dev/zero | tr "\\0" x']);
  expect(echoed.stdout.length).toBe(10_000_000);
  expect(echoed.stdout).toMatch(/^x+$/);
});

test('a command that does not read its input ends all the same', async () => {
  const { code } = await exec(['exec', '--', 'true'], Buffer.alloc(3_000_000));
  expect(code).toBe(0);
});

test('a command that a signal ended is told as a shell tells it', async () => {
  expect(await exec(['exec', '--', 'sh', '-c', 'kill -KILL $$'])).toMatchObject({ code: 137 });
});

test.each([
  [['exec', '--', 'no-such-program'], 127, 'not found'],
  [['exec', '--release', 'r9', '--', 'true'], 2, 'ZDD_RELEASE_UNKNOWN'],
  [['exec', '--process', 'nope', '--', 'true'], 2, 'process types  web, worker'],
  [['exec', '--app', 'nope', '--', 'true'], 2, 'ZDD_APP_UNKNOWN'],
  [['exec'], 2, 'ZDD_USAGE'],
])('%j ends with %d and says why', async (args, exit, words) => {
  const { code, stderr } = await exec(args);
  expect(code).toBe(exit);
  expect(stderr).toContain(words);
});

test('nothing it has left behind outlives it, and its folder is gone', async () => {
  const time = aLongTime();
  const { code } = await exec(['exec', '--', 'sh', '-c', `sleep ${time} & echo $!`]);
  expect(code).toBe(0);
  expect(runs(time)).toBe(false);
  await until(
    () => readdirSync(join(host.stateDir, 'instances', '.once')).length === 0,
    () => 'its folder to be gone',
  );
});

test.each(['SIGKILL', 'SIGINT', 'SIGTERM'] as const)(
  'a client that is gone by %s takes its command with it, also one that ignores SIGHUP and SIGTERM',
  async (signal) => {
    const time = aLongTime();
    const script = `trap "" HUP TERM INT; echo ready; sleep ${time}; sleep ${time}`;
    const running = startCli(['exec', '--', 'sh', '-c', script], { socket: host.socket });
    await running.says('ready');
    running.child.kill(signal);
    await running.ended();
    await until(
      () => !runs(time),
      () => 'the command to be gone',
    );
  },
);

test('a command is asked by SIGHUP before it is killed', async () => {
  const proof = join(host.dir, 'asked');
  // What it does then takes a while, and is not cut short by SIGTERM.
  const asked = `sleep 0.5; echo asked >${proof}; exit`;
  const script = `trap '${asked}' HUP; echo ready; while :; do sleep 0.05; done`;
  const running = startCli(['exec', '--', 'sh', '-c', script], { socket: host.socket });
  await running.says('ready');
  running.child.kill('SIGKILL');
  await until(
    () => existsSync(proof),
    () => 'SIGHUP',
  );
});

test('who ran what stands in the events and in the audit, without arguments', async () => {
  const since = (await host.events()).at(-1)?.seq ?? 0;
  await exec(['exec', '--', 'sh', '-c', 'exit 3', 'a-secret']);
  const all = (await host.events(since)).filter((told) => 'session' in told);
  const session = all.find(({ type }) => type === 'exec_started')?.session;
  const told = all.filter((each) => each.session === session);
  expect(told).toMatchObject([
    { type: 'exec_started', app: 'shop', command: 'sh', process: 'web', tty: false },
    { type: 'exec_ended', command: 'sh', code: 3 },
  ]);
  expect(JSON.stringify(told)).not.toContain('a-secret');
  expect(await host.log()).not.toContain('a-secret');
  const audit = await host.cli(['audit', '--json']);
  const { entries } = auditReply.parse(JSON.parse(audit.stdout));
  expect(entries.filter(({ verb }) => verb === 'exec').at(-1)).toMatchObject({
    app: 'shop',
    details: { command: 'sh' },
    claimed: { owner: expect.stringContaining('@'), cli: expect.any(String) },
    verified: { uid: process.getuid?.() },
    outcome: 'done',
  });
  expect(audit.stdout).not.toContain('a-secret');
});

test('console runs what zdd.yaml says', async () => {
  const { code, stdout } = await exec(['console']);
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'this is the console of shop\n' });
});

describe('on a terminal', () => {
  const socket = (): { socket: string } => ({ socket: host.socket });

  test('the command has one, as large as ours, which follows ours', async () => {
    const shell = await onTerminal(['exec', '--', 'sh'], socket());
    shell.type('tty; stty size; echo "[$TERM]"\r');
    await shell.says('30 100');
    await shell.says('[xterm]');
    expect(shell.stdout()).toContain('/dev/pts/');
    shell.resize(41, 123);
    // Asked again and again: when a new size arrives is nobody's to know.
    await until(
      () => {
        shell.type('stty size\r');
        return shell.stdout().includes('41 123');
      },
      () => `the new size in ${shell.stdout()}`,
    );
    shell.type('exit 5\r');
    expect(await shell.ended()).toMatchObject({ code: 5 });
  });

  test('Ctrl-C is for the command, and ours is as it was when that has ended', async () => {
    const shell = await onTerminal(['exec', '--', 'sh'], socket(), 'stty -a;');
    shell.type(`echo rea""dy; sleep ${aLongTime()}\r`);
    await shell.says('ready');
    expect(shell.settings()).toMatch(/-icanon\b.*-echo\b/s);
    shell.type('\u0003');
    shell.type('echo still "here"; exit 4\r');
    const { code, stdout } = await shell.ended();
    expect(stdout).toContain('still here');
    expect(stdout).toMatch(/ icanon\b.* echo\b/s);
    expect(code).toBe(4);
  });

  test.each(['SIGTERM', 'SIGHUP'] as const)(
    'it is as it was also when %s ends us',
    async (name) => {
      const time = aLongTime();
      const shell = await onTerminal(
        ['exec', '--', 'sh', '-c', `echo pid; sleep ${time}`],
        socket(),
        'stty -a;',
      );
      await shell.says('pid');
      const client = readdirSync('/proc').find((pid) => {
        try {
          const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
          return line.includes('node') && line.includes(time);
        } catch {
          return false;
        }
      });
      process.kill(Number(client), name);
      const { code, stdout } = await shell.ended();
      expect(code).toBe(130);
      expect(stdout).toMatch(/ icanon\b.* echo\b/s);
      await until(
        () => !runs(time),
        () => 'the command to be gone',
      );
    },
  );

  test('-T gives three streams, -t a terminal where there is none', async () => {
    const without = await onTerminal(['exec', '-T', '--', 'sh', '-c', 'tty; test -t 1'], socket());
    expect(await without.ended()).toMatchObject({ code: 1 });
    expect(without.stdout()).toContain('not a tty');
    const forced = await exec(['exec', '-t', '--', 'sh', '-c', 'tty; stty size']);
    expect(forced.stdout).toMatch(/\/dev\/pts\/\d+\r\n24 80\r\n/);
  });
});

describe('when the daemon', () => {
  test('is told to leave, sessions end with a word and nothing is left', async () => {
    const time = aLongTime();
    const script = `trap "" HUP TERM; echo ready; sleep ${time}; sleep ${time}`;
    const running = startCli(['exec', '--', 'sh', '-c', script], { socket: host.socket });
    await running.says('ready');
    expect(await host.stopDaemon('SIGTERM')).toBe(0);
    expect(await running.ended()).toMatchObject({ code: 11 });
    expect(running.stderr()).toContain('the agent is stopping');
    expect(runs(time)).toBe(false);
    await host.startDaemon();
    const ended = (await host.events()).findLast(({ type }) => type === 'exec_ended');
    expect(ended).toMatchObject({ code: null });
  });

  test.each([[[]], [['-t']]])(
    'is killed, the client says so and the next daemon ends the command (%j)',
    async (flags) => {
      const time = aLongTime();
      const script = `trap "" HUP TERM PIPE; echo ready; sleep ${time}; sleep ${time}`;
      const words = ['exec', ...flags, '--', 'sh', '-c', script];
      const running = startCli(words, { socket: host.socket });
      await running.says('ready');
      await host.stopDaemon('SIGKILL');
      expect(await running.ended()).toMatchObject({ code: 11 });
      expect(running.stderr()).toContain('ZDD_EXEC_FAILED');
      await host.startDaemon();
      await until(
        () => !runs(time),
        () => 'the command to be gone',
      );
    },
  );
});

test('an agent that is not there is told apart from a command that failed', async () => {
  const { code, stderr } = await cli(['exec', '--', 'true'], { socket: join(host.dir, 'nothing') });
  expect(code).toBe(11);
  expect(stderr).toContain('ZDD_AGENT_UNREACHABLE');
});

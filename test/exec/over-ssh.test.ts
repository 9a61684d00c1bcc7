import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Lab, openLab } from '../cli/connect/lab.ts';
import type { Sshd } from '../cli/connect/sshd.ts';
import { CLI, environment, type Running, until, watchChild } from '../cli/run-cli.ts';
import { push } from '../deploys/shop.ts';
import { onTerminal } from './terminal.ts';

let host: PrivateHost;
let lab: Lab;
let sshd: Sshd;
beforeAll(async () => {
  [host, lab] = await Promise.all([PrivateHost.start(), openLab()]);
  sshd = await lab.sshd();
  const { code, stderr } = await push(host, { behaviour: { version: '1' } });
  expect(code, stderr).toBe(0);
});
afterAll(async () => {
  await lab.remove();
  await host.remove();
});

const there = () => ['--host', sshd.destination, '--socket', host.socket, '--app', 'shop'];
/** ssh reads the files of the account and not those of `$HOME`. */
const way = (system: boolean) =>
  system
    ? [
        `--ssh-command=ssh -i ${lab.me.at('id_ed25519')} -o UserKnownHostsFile=${lab.me.at('known_hosts')}`,
      ]
    : [];
const env = () => ({ HOME: lab.me.home, XDG_RUNTIME_DIR: lab.path });

function exec(way: readonly string[], command: readonly string[], input: Buffer | string): Running {
  const words = ['exec', ...there(), ...way, '--', ...command];
  const child = spawn(CLI, words, {
    env: environment({ env: env() }),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  return watchChild(child, words.join(' '));
}

function runs(word: string): boolean {
  return readdirSync('/proc').some((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').includes(word);
    } catch {
      return false;
    }
  });
}

describe.each([
  ['our own SSH', false],
  ["the system's ssh", true],
])('over %s', (_name, system) => {
  test('bytes and exit code pass, in both directions', async () => {
    const bytes = randomBytes(4_000_000);
    const sum = createHash('sha256').update(bytes).digest('hex');
    const script = 'sha256sum >&2; head -c 4000000 /dev/zero | tr "\\0" x; exit 6';
    const { code, stdout, stderr } = await exec(way(system), ['sh', '-c', script], bytes).ended();
    expect(stderr).toContain(sum);
    expect(stdout.length).toBe(4_000_000);
    expect(code).toBe(6);
  });

  test('a terminal goes all the way, with its size and Ctrl-C', async () => {
    const shell = await onTerminal(
      ['exec', ...there(), ...way(system), '--', 'sh'],
      { env: env() },
      'stty -a;',
    );
    shell.type('stty size\r');
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
});

test('a cut connection is told, and the command does not run on', async () => {
  const time = `${3_000_000 + Math.floor(Math.random() * 1_000_000)}`;
  const running = exec([], ['sh', '-c', `echo begun; sleep ${time}`], '');
  await running.says('begun');
  await sshd.cut();
  const { code, stderr } = await running.ended();
  expect(code).toBe(11);
  expect(stderr).toMatch(/ZDD_(EXEC_FAILED|AGENT_UNREACHABLE)/);
  await until(
    () => !runs(time),
    () => 'the command to be gone',
  );
});

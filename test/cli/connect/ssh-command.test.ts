import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { until } from '../run-cli.ts';
import { app, receipt, storyOf } from '../samples.ts';
import { replies, streams } from '../stand-in.ts';
import { type Lab, openLab } from './lab.ts';
import type { Sshd } from './sshd.ts';

let lab: Lab;
let host: Sshd;
let temporary: string;

beforeEach(async () => {
  lab = await openLab();
  temporary = join(lab.path, 'tmp');
  await mkdir(temporary);
});
afterEach(() => lab.remove());

/** ssh takes the home of the account and not $HOME: all it may read is named. */
async function program(): Promise<string> {
  const config = lab.me.at('for ssh');
  await writeFile(
    config,
    [
      `IdentityFile ${lab.me.at('id_ed25519')}`,
      'IdentitiesOnly yes',
      `UserKnownHostsFile ${lab.me.at('known_hosts')}`,
      'GlobalKnownHostsFile none',
      'LogLevel ERROR',
      '',
    ].join('\n'),
  );
  return `ssh -F '${config}'`;
}

const overSsh = async () => [
  '--host',
  host.destination,
  '--socket',
  lab.agent.socket,
  `--ssh-command=${await program()}`,
];

test('the agent is asked through the ssh of the system; no ssh and no folder is left', async () => {
  host = await lab.sshd();
  const { code, stdout, stderr } = await lab.me.run(['status', ...(await overSsh())], {
    temporary,
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain('no app yet');
  expect(host.log().match(/Accepted publickey/g)).toHaveLength(1);
  expect(await readdir(temporary)).toEqual([]);
  await until(
    () => host.log().includes('Disconnected from user') || host.log().includes('Connection closed'),
    () => `ssh to end: ${host.log()}`,
  );
});

test('a watched deployment outlives its ssh, killed again and again', async () => {
  host = await lab.sshd();
  lab.agent.on('GET /v1/apps/shop', replies(app()));
  lab.agent.on(
    'GET /v1/apps/shop/deployments/57',
    replies({ app: 'shop', deployment: 57, phase: 'baking', outcome: null, receipt: null }),
  );
  const story = storyOf(receipt());
  let connections = 0;
  lab.agent.on('GET /v1/events', (request, response, url) => {
    connections += 1;
    // One more event each time, the last of them with the last connection.
    const upTo = connections > 8 ? story.length : connections;
    streams(story.slice(0, upTo))(request, response, url);
    if (connections <= 8) setImmediate(() => void host.cut());
  });
  const { code, stdout } = await lab.me.run(
    ['attach', '57', '--app', 'shop', '--json', ...(await overSsh())],
    { temporary },
  );
  expect(code).toBe(0);
  const seen = stdout
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  expect(seen).toEqual([...story, receipt()]);
  expect(connections).toBe(9);
  expect(await readdir(temporary)).toEqual([]);
});

test('a killed CLI takes its ssh with it', async () => {
  host = await lab.sshd();
  lab.agent.on('GET /v1/events', streams([]));
  const following = lab.me.start(['events', '-f', ...(await overSsh())]);
  await until(
    () => lab.agent.requests.some((line) => line.startsWith('GET /v1/events')),
    () => following.stderr(),
  );
  following.child.kill('SIGKILL');
  await following.ended();
  await until(
    async () => (await lab.agent.connections()) === 0,
    () => 'the connection to be gone',
  );
});

test('what ssh says when it cannot connect is passed on', async () => {
  host = await lab.sshd();
  await lab.me.write('known_hosts', '');
  const ran = await lab.me.run(['status', ...(await overSsh())], { temporary });
  expect(ran.code).toBe(11);
  expect(ran.stderr).toContain('ssh did not connect to');
  expect(ran.stderr).toContain('Host key verification failed');
  expect(await readdir(temporary)).toEqual([]);
});

test('a socket that is not there: what it can be, and how to look', async () => {
  host = await lab.sshd();
  const ran = await lab.me.run([
    ...['status', '--host', host.destination, '--socket', join(lab.path, 'none.sock')],
    `--ssh-command=${await program()}`,
  ]);
  expect(ran.code).toBe(11);
  expect(ran.stderr).toContain('did not connect to the agent');
  expect(ran.stderr).toContain(`Try: ssh -p ${host.port} `);
});

/** Signs a public key. @param words of ssh-keygen that say for whom */
function certify(authority: string, key: string, ...words: string[]): void {
  execFileSync('ssh-keygen', ['-q', '-s', authority, '-I', 'test', ...words, key]);
}

test('a host known by a certificate: refused by our own SSH with the command that works', async () => {
  const authority = join(lab.path, 'authority');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', authority]);
  const folder = join(lab.path, 'sshd');
  host = await lab.sshd({
    config: [`HostCertificate ${join(folder, 'host_ed25519-cert.pub')}`],
    prepare: () => certify(authority, join(folder, 'host_ed25519.pub'), '-h', '-n', '127.0.0.1'),
  });
  const vouches = await readFile(`${authority}.pub`, 'utf8');
  await lab.me.write('known_hosts', `@cert-authority [127.0.0.1]:* ${vouches}`);
  const own = await lab.status(host);
  expect(own.code).toBe(11);
  expect(own.stderr).toContain('is known by a certificate, which only ssh can check');
  expect(own.stderr).toContain('--ssh-command');
  const bySsh = await lab.me.run(['status', ...(await overSsh())]);
  expect(bySsh).toMatchObject({ code: 0, stderr: '' });
});

test('a user known by a certificate logs in by ssh', async () => {
  const authority = join(lab.path, 'authority');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', authority]);
  host = await lab.sshd({ config: [`TrustedUserCAKeys ${authority}.pub`], keys: [] });
  const user = host.destination.split('@')[0] ?? '';
  certify(authority, lab.me.at('id_ed25519.pub'), '-n', user);
  const own = await lab.status(host);
  expect(own.code).toBe(11);
  expect(own.stderr).toContain('--ssh-command');
  expect(await lab.me.run(['status', ...(await overSsh())])).toMatchObject({ code: 0, stderr: '' });
});

test('commands to type name the program again', async () => {
  host = await lab.sshd();
  lab.agent.on('GET /v1/apps/shop', replies(app()));
  const words = await overSsh();
  const { stderr } = await lab.me.run(['attach', '--app', 'shop', ...words]);
  expect(stderr).toContain('Try: zdd-agent why --app shop --host');
  expect(stderr).toContain('--ssh-command=');
});

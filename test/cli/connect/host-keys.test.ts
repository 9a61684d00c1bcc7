import { execFileSync } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { temporaryFolder } from '../run-cli.ts';
import { replies, type StandIn, standIn } from '../stand-in.ts';
import { type Laptop, laptop, makeKey, type Sshd, type SshdOptions, startSshd } from './sshd.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let me: Laptop;
let agent: StandIn;
let sshd: Sshd | null = null;

beforeEach(async () => {
  folder = await temporaryFolder();
  me = await laptop(folder.path);
  agent = await standIn(join(folder.path, 'agent.sock'));
  agent.on(
    'GET /v1/status',
    replies({ schemaVersion: 1, agent: '0.1.0', apps: [], attention: [] }),
  );
  await me.write('config', 'HashKnownHosts no\n');
});
afterEach(async () => {
  await sshd?.stop();
  sshd = null;
  await agent.close();
  await folder.remove();
});

async function start(options: SshdOptions = {}): Promise<Sshd> {
  sshd = await startSshd(join(folder.path, 'sshd'), options);
  await sshd.allow(await makeKey(me.at('id_ed25519')));
  return sshd;
}

const status = (host: Sshd, ...more: string[]) =>
  me.run(['status', '--host', host.destination, '--socket', agent.socket, ...more]);

function fingerprintOf(path: string): string {
  return execFileSync('ssh-keygen', ['-lf', path]).toString().split(' ')[1] ?? '';
}

const hostFile = (name: string) => join(folder.path, 'sshd', name);

test('a host whose key is known is asked', async () => {
  const host = await start();
  await me.write('known_hosts', `${host.known} ${host.publicKeys.get('ed25519')}\n`);
  const { code, stdout, stderr } = await status(host);
  expect(stderr).toBe('');
  expect(stdout).toContain('no app yet');
  expect(code).toBe(0);
  // The status says what the agent speaks: nothing else is asked.
  expect(host.log().match(/Accepted publickey/g)).toHaveLength(1);
  expect(agent.requests).toEqual(['GET /v1/status']);
});

test('an unknown key is refused with its fingerprint and the command that accepts it', async () => {
  const host = await start();
  const { code, stdout, stderr } = await status(host);
  expect(code).toBe(11);
  expect(stdout).toBe('');
  expect(stderr).toContain('the key of 127.0.0.1 is not known yet');
  expect(stderr).toContain(`ssh-ed25519 ${fingerprintOf(hostFile('host_ed25519'))}`);
  expect(stderr).toContain(
    `Try: zdd-agent status --host ${host.destination} --socket ${agent.socket} --accept-new`,
  );
  expect(host.log()).not.toContain('publickey');
  await expect(stat(me.at('known_hosts'))).rejects.toMatchObject({ code: 'ENOENT' });
});

test('--accept-new keeps an unknown key, and then it is known', async () => {
  const host = await start();
  await me.write('known_hosts', 'other.example.com ssh-ed25519 AAAA');
  const accepted = await status(host, '--accept-new');
  expect(accepted).toMatchObject({
    code: 0,
    stderr: expect.stringContaining(`(ssh-ed25519 of ${host.known} is kept in`),
  });
  expect(await me.read('known_hosts')).toBe(
    `other.example.com ssh-ed25519 AAAA\n${host.known} ${keyOnly(host)}\n`,
  );
  expect(await status(host)).toMatchObject({ code: 0, stderr: '' });
  expect((await stat(me.at('known_hosts'))).mode & 0o077).toBe(0);
});

function keyOnly(host: Sshd): string {
  return (host.publicKeys.get('ed25519') ?? '').split(' ').slice(0, 2).join(' ');
}

test('the first key of all makes the file and its folder, for nobody else to read', async () => {
  const host = await start();
  await me.write('config', `UserKnownHostsFile ${me.at('deep/known')}\nHashKnownHosts no\n`);
  expect(await status(host, '--accept-new')).toMatchObject({ code: 0 });
  expect((await stat(me.at('deep'))).mode & 0o777).toBe(0o700);
  expect((await stat(me.at('deep/known'))).mode & 0o777).toBe(0o600);
});

test('StrictHostKeyChecking accept-new is --accept-new; HashKnownHosts hides the name', async () => {
  const host = await start();
  await me.write('config', 'StrictHostKeyChecking accept-new\nHashKnownHosts yes\n');
  expect(await status(host)).toMatchObject({ code: 0 });
  expect(await me.read('known_hosts')).toMatch(/^\|1\|[^|]+\|[^ ]+ ssh-ed25519 /);
  // What we wrote is what ssh-keygen finds.
  const found = execFileSync('ssh-keygen', ['-F', host.known, '-f', me.at('known_hosts')]);
  expect(found.toString()).toContain('found: line 1');
  await me.write('config', '');
  expect(await status(host)).toMatchObject({ code: 0 });
});

test('names hashed by ssh-keygen are found', async () => {
  const host = await start();
  await me.write('known_hosts', `${host.known} ${host.publicKeys.get('ed25519')}\n`);
  execFileSync('ssh-keygen', ['-H', '-f', me.at('known_hosts')], { stdio: 'ignore' });
  expect(await me.read('known_hosts')).not.toContain('127.0.0.1');
  expect(await status(host)).toMatchObject({ code: 0 });
});

test('a changed key is refused loudly, with the line and what removes it, accept-new or not', async () => {
  const host = await start();
  const old = await makeKey(join(folder.path, 'old'));
  await me.write('known_hosts', `# mine\n${host.known} ${old}\n`);
  for (const more of [[], ['--accept-new']]) {
    const { code, stderr } = await status(host, ...more);
    expect(code).toBe(11);
    expect(stderr).toContain('THE KEY OF 127.0.0.1 HAS CHANGED');
    expect(stderr).toContain(`${me.at('known_hosts')}:2`);
    expect(stderr).toContain(
      `Try: ssh-keygen -R '${host.known}' -f ${me.at('known_hosts')}\n     zdd-agent status`,
    );
  }
  expect(host.log()).not.toContain('publickey');
  // The command that was given does it.
  execFileSync('ssh-keygen', ['-R', host.known, '-f', me.at('known_hosts')], { stdio: 'ignore' });
  expect(await status(host, '--accept-new')).toMatchObject({ code: 0 });
});

test('a revoked key is refused even where it is known', async () => {
  const host = await start();
  const key = host.publicKeys.get('ed25519');
  await me.write('known_hosts', `${host.known} ${key}\n@revoked * ${key}\n`);
  expect(await status(host, '--accept-new')).toMatchObject({
    code: 11,
    stderr: expect.stringMatching(/is revoked[\s\S]*known_hosts:2/),
  });
});

test('of several keys of a host the known one is asked for', async () => {
  const host = await start({ hostKeys: ['ed25519', 'ecdsa', 'rsa'] });
  for (const type of ['rsa', 'ecdsa', 'ed25519'] as const) {
    await me.write('known_hosts', `${host.known} ${host.publicKeys.get(type)}\n`);
    expect(await status(host)).toMatchObject({ code: 0, stderr: '' });
  }
});

test('patterns, exclusions and a name without its port are known_hosts as ssh reads it', async () => {
  const host = await start();
  const key = host.publicKeys.get('ed25519');
  await me.write('known_hosts', `[127.0.*]:* ${key}\n`);
  expect(await status(host)).toMatchObject({ code: 0 });
  await me.write('known_hosts', `[127.0.*]:*,!${host.known} ${key}\n`);
  expect(await status(host)).toMatchObject({ code: 11 });
  await me.write('known_hosts', `127.0.0.1 ${key}\n`);
  expect(await status(host)).toMatchObject({ code: 0 });
  // Another key without the port is another server: no alarm, but nothing known either.
  await me.write('known_hosts', `127.0.0.1 ${await makeKey(join(folder.path, 'old'))}\n`);
  expect(await status(host)).toMatchObject({
    code: 11,
    stderr: expect.stringContaining('is not known yet'),
  });
});

test('a host known by a certificate authority only is left to ssh', async () => {
  const host = await start();
  const authority = await makeKey(join(folder.path, 'ca'));
  await me.write('known_hosts', `@cert-authority * ${authority}\n`);
  expect(await status(host, '--accept-new')).toMatchObject({
    code: 11,
    stderr: expect.stringMatching(/by a certificate[\s\S]*known_hosts:1[\s\S]*--ssh-command\n/),
  });
});

test('HostKeyAlias is the name in known_hosts', async () => {
  const host = await start();
  await me.write('config', 'HostKeyAlias Web1\n');
  await me.write('known_hosts', `web1 ${host.publicKeys.get('ed25519')}\n`);
  expect(await status(host)).toMatchObject({ code: 0 });
});

import { mkdir, rename } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { evaluate } from '../../../cli/connect/ssh/config/evaluate.ts';
import { readConfigFile } from '../../../cli/connect/ssh/config/lines.ts';
import { settle } from '../../../cli/connect/ssh/config/settings.ts';
import { parseDestination } from '../../../cli/connect/ssh/destination.ts';
import { type Lab, openLab } from './lab.ts';
import { USER } from './sshd.ts';

let lab: Lab;
beforeEach(async () => {
  lab = await openLab();
});
afterEach(() => lab.remove());

const statusOf = (destination: string) =>
  lab.me.run(['status', '--host', destination, '--socket', lab.agent.socket]);

/** The settings for a destination by a config file alone. */
async function settings(text: string, typed: string) {
  await lab.me.write('config', text);
  const lines = await readConfigFile(lab.me.at('config'), lab.me.home);
  const destination = parseDestination(typed);
  const who = { home: lab.me.home, localUser: 'ann' };
  const asked = { original: destination.host, user: destination.user, localUser: 'ann' };
  return settle(destination, evaluate(lines, asked), who);
}

test('an alias with HostName, Port, User and IdentityFile, from an included file', async () => {
  const host = await lab.sshd();
  await rename(lab.me.at('id_ed25519'), lab.me.at('deploy key'));
  await mkdir(lab.me.at('config.d'));
  await lab.me.write('config', 'Include config.d/*.conf nothing-*\n\nHost *\n  Port 1\n');
  await lab.me.write(
    'config.d/shop.conf',
    `Host shop-*\n  HostName 127.0.0.1\n  Port ${host.port}\n  User ${USER}\n  IdentityFile "~/.ssh/deploy key"\n`,
  );
  expect(await statusOf('shop-1')).toMatchObject({ code: 0, stderr: '' });
});

test('the first value counts, patterns exclude, tokens and variables are filled in', async () => {
  const text = [
    'IdentityFile ~/.ssh/first',
    'Host web* !web9',
    '  HostName=%h.example.com',
    '  User deploy',
    '  IdentityFile /keys/%r@%h',
    '  IdentityAgent none',
    'Host *',
    '  User other',
    '  Port 2222',
    '  ServerAliveInterval 30',
    '  ConnectTimeout 1m',
    '  UserKnownHostsFile ~/.ssh/a ~/.ssh/b',
  ].join('\n');
  expect(await settings(text, 'web1')).toMatchObject({
    host: 'web1.example.com',
    user: 'deploy',
    port: 2222,
    identityFiles: [lab.me.at('first'), '/keys/deploy@web1.example.com'],
    identityAgent: null,
    keepaliveMs: 30_000,
    connectTimeoutMs: 60_000,
    userKnownHosts: [lab.me.at('a'), lab.me.at('b')],
  });
  expect(await settings(text, 'web9')).toMatchObject({ host: 'web9', user: 'other' });
  // What was typed beats the file.
  expect(await settings(text, 'me@web1:22')).toMatchObject({ user: 'me', port: 22 });
});

test('Match by host, original host and user holds; a criterion that is not known holds for nobody', async () => {
  const text = [
    'Host short',
    '  HostName long.example.com',
    'Match host *.example.com !user root',
    '  Port 2001',
    'Match originalhost plain,other',
    '  Port 2002',
    'Match exec "touch /tmp/never" host *',
    '  Port 2003',
    'Match all',
    '  Port 2004',
  ].join('\n');
  expect((await settings(text, 'short')).port).toBe(2001);
  expect((await settings(text, 'root@short')).port).toBe(2004);
  expect((await settings(text, 'plain')).port).toBe(2002);
  expect((await settings(text, 'else')).port).toBe(2004);
});

test('an included file ends its sections with itself and belongs to the section around it', async () => {
  await lab.me.write('inner', 'Port 2001\nHost b\n  Port 2002\n');
  const text = 'Host a\n  Include inner\nHost *\n  Port 2003\n';
  expect((await settings(text, 'a')).port).toBe(2001);
  expect((await settings(text, 'b')).port).toBe(2003);
});

test('files that include each other are refused, as ssh refuses them', async () => {
  await lab.me.write('config', 'Include config\n');
  const { code, stderr } = await statusOf('web1');
  expect(code).toBe(10);
  expect(stderr).toContain('a configuration file of ssh cannot be read');
  expect(stderr).toContain('nested deeper than 16');
});

test('a config file with a mistake is named', async () => {
  await lab.me.write('config', 'Host "web1\n');
  expect(await statusOf('web1')).toMatchObject({
    code: 10,
    stderr: expect.stringContaining(lab.me.at('config')),
  });
});

test('ProxyJump goes through another host, each with its own key and host key', async () => {
  const host = await lab.sshd();
  const jump = await lab.sshd({ name: 'jump' });
  await lab.me.write(
    'config',
    [
      `Host inner\n  HostName 127.0.0.1\n  Port ${host.port}\n  ProxyJump gate,${jump.destination}`,
      `Host gate\n  HostName 127.0.0.1\n  Port ${jump.port}`,
      '',
    ].join('\n'),
  );
  expect(await statusOf(`${USER}@inner`)).toMatchObject({ code: 0, stderr: '' });
  // Twice through the gate, each time logged in.
  expect(jump.log().match(/Accepted publickey/g)).toHaveLength(2);
  expect(host.log().match(/Accepted publickey/g)).toHaveLength(1);
});

test('a jump host that cannot reach the next one says so', async () => {
  const jump = await lab.sshd({ name: 'jump' });
  await lab.me.write(
    'config',
    `Host inner\n  HostName 127.0.0.1\n  Port 1\n  ProxyJump ${jump.destination}\n`,
  );
  const { code, stderr } = await statusOf('inner');
  expect(code).toBe(11);
  expect(stderr.replace(/\s+/g, ' ')).toContain('127.0.0.1 does not connect to it');
});

test('a circle of ProxyJump ends', async () => {
  await lab.me.write('config', 'Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n');
  expect(await statusOf('a')).toMatchObject({
    code: 11,
    stderr: expect.stringContaining('ProxyJump leads in a circle'),
  });
});

test('ProxyCommand is the connection', async () => {
  const host = await lab.sshd();
  const jump = await lab.sshd({ name: 'jump' });
  await lab.me.write(
    'config',
    `Host inner\n  HostName 127.0.0.1\n  Port ${host.port}\n  User ${USER}\n` +
      `  ProxyCommand ssh -F none -i ${lab.me.at('id_ed25519')} -p ${jump.port} ` +
      `-o UserKnownHostsFile=${lab.me.at('known_hosts')} -W %h:%p ${USER}@127.0.0.1\n`,
  );
  expect(await statusOf('inner')).toMatchObject({ code: 0, stderr: '' });
  expect(jump.log()).toContain('Accepted publickey');
});

test('a name that needs no config is taken as it is; ssh:// and ports as well', () => {
  expect(parseDestination('web1')).toMatchObject({
    host: 'web1',
    user: undefined,
    port: undefined,
  });
  expect(parseDestination('ssh://me@web1:2222/')).toMatchObject({
    host: 'web1',
    user: 'me',
    port: 2222,
  });
  expect(parseDestination('a@b@web1')).toMatchObject({ host: 'web1', user: 'a@b' });
  expect(parseDestination('me@[::1]:22')).toMatchObject({ host: '::1', port: 22 });
  expect(parseDestination('fe80::1')).toMatchObject({ host: 'fe80::1', port: undefined });
});

test.each([
  '',
  '-oProxyCommand=x',
  'me@',
  '@web1',
  'web1:0',
  'web1:x',
  'a b',
  '$(x)@web1',
  'me@web1;x',
  '-l@web1',
])('%j is no host: neither for us nor for a shell or ssh behind us', (typed) => {
  expect(() => parseDestination(typed)).toThrow('expected a host such as');
});

test('a mistyped destination is a usage error', async () => {
  const { code, stderr } = await statusOf('me@web1:99999');
  expect(code).toBe(2);
  expect(stderr).toContain('expected a host such as deploy@web1.example.com:22');
});

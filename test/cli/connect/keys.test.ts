import { execFileSync, spawn } from 'node:child_process';
import { rm, unlink } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CLI, environment, until, watchChild } from '../run-cli.ts';
import { type Lab, openLab } from './lab.ts';
import { makeKey, type Sshd, startSshAgent } from './sshd.ts';

let lab: Lab;
const toStop: { stop(): Promise<void> }[] = [];

beforeEach(async () => {
  lab = await openLab();
});
afterEach(async () => {
  for (const each of toStop.splice(0)) await each.stop();
  await lab.remove();
});

const printOf = (path: string) =>
  execFileSync('ssh-keygen', ['-lf', path]).toString().split(' ')[1] ?? '';

const withAgent = (host: Sshd, socket: string, ...more: string[]) =>
  lab.me.run(['status', '--host', host.destination, '--socket', lab.agent.socket, ...more], {
    agent: socket,
  });

/** Without the line breaks of the layout. */
const flat = (text: string) => text.replace(/\s+/g, ' ');

/** The CLI on a terminal of its own; its keyboard is our stdin. */
function onTerminal(host: Sshd) {
  const words = [CLI, 'status', '--host', host.destination, '--socket', lab.agent.socket];
  return watchChild(
    spawn('script', ['-qec', `exec ${words.join(' ')}`, '/dev/null'], {
      cwd: lab.me.home,
      env: { ...environment({ env: { HOME: lab.me.home } }), TERM: 'xterm' },
      stdio: ['pipe', 'pipe', 'pipe'],
    }),
    words.join(' '),
  );
}

test.each([
  ['ed25519', undefined],
  ['rsa', undefined],
  ['ecdsa', undefined],
  ['rsa', 'PEM'],
  ['ecdsa', 'PEM'],
  ['rsa', 'PKCS8'],
  ['ecdsa', 'PKCS8'],
] as const)('a key file of type %s, format %s, logs in', async (type, format) => {
  const path = lab.me.at('key');
  const key = await makeKey(path, format === undefined ? { type } : { type, format });
  // Nothing but the file itself.
  await unlink(`${path}.pub`);
  await lab.me.write('config', `IdentityFile ${path}\n`);
  const host = await lab.sshd({ keys: [key] });
  expect(await lab.status(host)).toMatchObject({ code: 0, stderr: '' });
});

test('the usual names in ~/.ssh are tried without being configured', async () => {
  await rm(lab.me.at('id_ed25519'));
  await rm(lab.me.at('id_ed25519.pub'));
  const host = await lab.sshd({ keys: [await makeKey(lab.me.at('id_ecdsa'), { type: 'ecdsa' })] });
  expect(await lab.status(host)).toMatchObject({ code: 0 });
});

test.each([undefined, 'PEM', 'PKCS8'] as const)(
  'an encrypted key of format %s asks on a terminal and shows nothing of the answer',
  async (format) => {
    await rm(lab.me.at('id_ed25519'));
    const secret = 'a längliche passphrase';
    const key = await makeKey(lab.me.at('id_rsa'), {
      type: 'rsa',
      passphrase: secret,
      ...(format ? { format } : {}),
    });
    const host = await lab.sshd({ keys: [key] });
    const status = onTerminal(host);
    const question = `Passphrase for ${lab.me.at('id_rsa')}:`;
    await status.says(question);
    status.child.stdin?.write('wrong\r');
    await until2(status.stdout, question);
    status.child.stdin?.write(`${secret}\r`);
    const { code, stdout } = await status.ended();
    expect(stdout).toContain('no app yet');
    expect(code).toBe(0);
    expect(stdout).not.toContain('wrong');
    expect(stdout).not.toContain('passphrase');
  },
);

/** Waits until `what` is there a second time. */
async function until2(text: () => string, what: string): Promise<void> {
  await until(
    () => text().split(what).length > 2,
    () => `"${what}" twice in ${text()}`,
  );
}

test('Ctrl-C at the question for a passphrase ends the command', async () => {
  await rm(lab.me.at('id_ed25519'));
  const key = await makeKey(lab.me.at('id_rsa'), { type: 'rsa', passphrase: 'secret' });
  const status = onTerminal(await lab.sshd({ keys: [key] }));
  await status.says('Passphrase for');
  status.child.stdin?.write('\u0003');
  const { code, stdout } = await status.ended();
  expect(code).toBe(130);
  expect(stdout).not.toContain('Error');
});

test('a host that does not want the encrypted key is not asked for its passphrase', async () => {
  await makeKey(lab.me.at('id_rsa'), { type: 'rsa', passphrase: 'secret' });
  const status = onTerminal(await lab.sshd());
  const { code, stdout } = await status.ended();
  expect(stdout).not.toContain('Passphrase');
  expect(code).toBe(0);
});

test('without a terminal an encrypted key is passed over, and the error says what to do', async () => {
  await rm(lab.me.at('id_ed25519'));
  const path = lab.me.at('id_rsa');
  const key = await makeKey(path, { type: 'rsa', passphrase: 'secret' });
  const { code, stderr } = await lab.status(await lab.sshd({ keys: [key] }));
  expect(code).toBe(11);
  expect(flat(stderr)).toContain(`${path}: encrypted, and there is no terminal`);
  expect(stderr).toContain('Try: ssh-add\n');
});

test.each(['ed25519', 'rsa', 'ecdsa'] as const)(
  'a %s key of an ssh-agent logs in',
  async (type) => {
    const agent = await startSshAgent(lab.path);
    toStop.push(agent);
    const path = lab.me.at('elsewhere');
    const key = await makeKey(path, { type });
    agent.add(path);
    await rm(path);
    await rm(lab.me.at('id_ed25519'));
    const host = await lab.sshd({ keys: [key] });
    expect(await withAgent(host, agent.socket)).toMatchObject({ code: 0, stderr: '' });
  },
);

test('IdentityAgent names the agent; with IdentitiesOnly only configured keys of it are offered', async () => {
  const agent = await startSshAgent(lab.path);
  toStop.push(agent);
  const [wrong, right] = [lab.me.at('wrong'), lab.me.at('right')];
  await makeKey(wrong);
  const key = await makeKey(right);
  agent.add(wrong);
  agent.add(right);
  await rm(right);
  const host = await lab.sshd({ keys: [key] });
  await lab.me.write(
    'config',
    `IdentityAgent ${agent.socket}\nIdentitiesOnly yes\nIdentityFile ~/.ssh/right\n`,
  );
  expect(await lab.status(host)).toMatchObject({ code: 0, stderr: '' });
  expect(host.log()).not.toContain(printOf(`${wrong}.pub`));
  // The public half is what says which key of the agent is meant.
  await lab.me.write('config', `IdentityAgent ${agent.socket}\nIdentitiesOnly yes\n`);
  await rm(lab.me.at('id_ed25519'));
  await rm(lab.me.at('id_ed25519.pub'));
  expect(await lab.status(host)).toMatchObject({ code: 11 });
});

test('an ssh-agent that is gone is no obstacle for a key file', async () => {
  const host = await lab.sshd();
  expect(await withAgent(host, '/nowhere/agent.sock')).toMatchObject({ code: 0, stderr: '' });
});

test('a refused login names every key that was tried, by fingerprint', async () => {
  const agent = await startSshAgent(lab.path);
  toStop.push(agent);
  const other = lab.me.at('other');
  await makeKey(other, { comment: 'work key' });
  agent.add(other);
  const host = await lab.sshd({ keys: [] });
  const { code, stderr } = await withAgent(host, agent.socket);
  expect(code).toBe(11);
  expect(stderr).toContain('127.0.0.1 accepts none of your keys');
  expect(stderr).toContain(`ssh-ed25519 ${printOf(other)}`);
  expect(stderr).toContain('work key (agent)');
  expect(stderr).toContain(`ssh-ed25519 ${printOf(lab.me.at('id_ed25519'))}`);
  expect(stderr).toContain('it takes      publickey');
  expect(stderr).toContain(`ssh-copy-id -p ${host.port}`);
});

test('a laptop without any key is told to make one', async () => {
  await rm(lab.me.at('id_ed25519'));
  await rm(lab.me.at('id_ed25519.pub'));
  const { code, stderr } = await lab.status(await lab.sshd());
  expect(code).toBe(11);
  expect(stderr).toContain('there is no key to log in to 127.0.0.1 with');
  expect(stderr).toContain('Try: ssh-keygen -t ed25519\n');
});

test('a host that hangs up after too many keys: which setting helps', async () => {
  const agent = await startSshAgent(lab.path);
  toStop.push(agent);
  for (let n = 0; n < 4; n += 1) {
    await makeKey(lab.me.at(`k${n}`));
    agent.add(lab.me.at(`k${n}`));
  }
  const host = await lab.sshd({ config: ['MaxAuthTries 3'] });
  const { code, stderr } = await withAgent(host, agent.socket);
  expect(code).toBe(11);
  expect(stderr).toContain('too many keys were tried');
  expect(stderr).toContain('IdentitiesOnly yes');
});

test('a certificate beside the key is left to ssh, and that is said when the key is refused', async () => {
  const authority = lab.me.at('ca');
  const ca = await makeKey(authority);
  execFileSync('ssh-keygen', [
    ...['-q', '-s', authority, '-I', 'me', '-n', process.env['USER'] ?? 'root'],
    lab.me.at('id_ed25519.pub'),
  ]);
  const host = await lab.sshd({ keys: [`cert-authority ${ca}`] });
  const { code, stderr } = await lab.status(host);
  expect(code).toBe(11);
  expect(flat(stderr)).toContain('id_ed25519-cert.pub: a certificate: use --ssh-command');
  expect(stderr).toContain(`--socket ${lab.agent.socket} --ssh-command\n`);
});

test('a host that wants a key and something else is left to ssh', async () => {
  const host = await lab.sshd({
    config: ['AuthenticationMethods publickey,password', 'PasswordAuthentication yes'],
  });
  const { code, stderr } = await lab.status(host);
  expect(code).toBe(11);
  expect(stderr).toContain('a key is not enough for 127.0.0.1');
  expect(stderr).toContain('--ssh-command\n');
});

import { execFileSync } from 'node:child_process';
import { chmod, link, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { evaluate } from '../../../cli/connect/ssh/config/evaluate.ts';
import { type HostSettings, settle } from '../../../cli/connect/ssh/config/settings.ts';
import { parseDestination } from '../../../cli/connect/ssh/destination.ts';
import { forwardRefused, lookScript } from '../../../cli/connect/ssh/forward-refusal.ts';
import { type Ran, tooWide } from '../run-cli.ts';
import { refuses, replies, VERSION } from '../stand-in.ts';
import { type Lab, openLab } from './lab.ts';
import { freePort } from './sshd.ts';

let lab: Lab;
beforeEach(async () => {
  lab = await openLab();
});
afterEach(() => lab.remove());

/** Every refusal: exit 11, its code, no line wider than a terminal, and something to type. */
function expectRefusal({ code, stdout, stderr }: Ran, what: string, ...tries: string[]): void {
  expect({ code, stdout }).toEqual({ code: 11, stdout: '' });
  expect(stderr.replaceAll(/\s+/g, ' ')).toContain(what);
  expect(stderr).toContain('ZDD_AGENT_UNREACHABLE');
  for (const command of tries) expect(stderr).toContain(command);
  expect(tooWide(stderr).filter((line) => !line.includes('Try: '))).toEqual([]);
}

const statusOf = (destination: string, socket = lab.agent.socket) =>
  lab.me.run(['status', '--host', destination, '--socket', socket]);

test('a port where nothing listens', async () => {
  const port = await freePort();
  const ran = await statusOf(`deploy@127.0.0.1:${port}`);
  expectRefusal(ran, `127.0.0.1 takes no SSH connection on port ${port}`);
  expect(ran.stderr).toContain(`Try: ssh -p ${port} deploy@127.0.0.1 true\n`);
});

test('a name that there is not', async () => {
  const ran = await statusOf('deploy@nowhere.invalid');
  expectRefusal(
    ran,
    'there is no host called nowhere.invalid',
    'Try: getent hosts nowhere.invalid',
  );
});

test('something that listens and is no sshd', async () => {
  const server = createServer((socket) => socket.resume().end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const ran = await statusOf(`deploy@127.0.0.1:${port}`);
  await new Promise((resolve) => server.close(resolve));
  expectRefusal(ran, '127.0.0.1', `Try: ssh -p ${port} deploy@127.0.0.1 true`);
});

test('no agent on the far side: the socket is not there', async () => {
  const host = await lab.sshd();
  const ran = await statusOf(host.destination, join(lab.path, 'none', 'agent.sock'));
  expectRefusal(
    ran,
    'there is no agent on 127.0.0.1: no such socket',
    'Try: zdd-agent status --host',
    '--socket /run/zdd-agent/agent.sock',
  );
  expect(ran.stderr.match(/--socket/g)).toHaveLength(1);
});

test('a file where the socket should be', async () => {
  const host = await lab.sshd();
  await writeFile(join(lab.path, 'file'), '');
  const ran = await statusOf(host.destination, join(lab.path, 'file'));
  expectRefusal(ran, 'there is no agent on 127.0.0.1: no such socket');
});

test('an agent that does not run: its socket is there and nobody listens', async () => {
  const host = await lab.sshd();
  const kept = join(lab.path, 'kept.sock');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(lab.path, 'first.sock'), resolve));
  // Closing removes the name it listened on; a second name stays, as after SIGKILL.
  await link(join(lab.path, 'first.sock'), kept);
  await new Promise((resolve) => server.close(resolve));
  const ran = await statusOf(host.destination, kept);
  expectRefusal(ran, 'the agent of 127.0.0.1 is not running: nothing listens');
});

test('an sshd that does not forward to sockets', async () => {
  const host = await lab.sshd({ config: ['AllowStreamLocalForwarding no'] });
  const ran = await statusOf(host.destination);
  expectRefusal(ran, 'sshd of 127.0.0.1 does not forward to sockets', 'sudo sshd -T');
  expect(ran.stderr).toContain('AllowStreamLocalForwarding yes in sshd_config');
});

test('an agent that comes up while sshd is asked why it refused is used', async () => {
  const away = join(lab.path, 'away.sock');
  const looks = join(lab.path, 'looks');
  // What is looked at is looked at once the agent is there.
  const comesUp = `echo look >>${looks}; mv ${away} ${lab.agent.socket}; exec sh -s`;
  const host = await lab.sshd({ config: [`ForceCommand ${comesUp}`] });
  await rename(lab.agent.socket, away);
  const ran = await lab.status(host);
  expect(ran).toMatchObject({ code: 0, stderr: '' });
  expect(await readFile(looks, 'utf8')).toBe('look\n');
});

test('an account that may run no command: what it can be is listed', async () => {
  const host = await lab.sshd({ config: ['ForceCommand /bin/false'] });
  const ran = await statusOf(host.destination, join(lab.path, 'none.sock'));
  expectRefusal(ran, 'sshd of 127.0.0.1 did not connect to the agent');
  expect(ran.stderr).toMatch(
    /the agent does not run, or\n.*is not in the group zdd, or\n.*sshd has/,
  );
});

/** What a host says of a socket to an account, by the shell that the CLI asks there. */
function lookAs(uid: number | null, socket: string): string {
  return execFileSync('sh', ['-s'], {
    input: lookScript(socket),
    encoding: 'utf8',
    ...(uid === null ? {} : { uid, gid: uid }),
  });
}

function settings(): HostSettings {
  const destination = parseDestination('web1.example.com');
  const asked = { original: destination.host, user: undefined, localUser: 'ann' };
  return settle(destination, evaluate([], asked), { home: lab.me.home, localUser: 'ann' });
}

test('an account outside of the group zdd is told which group to join', async () => {
  const root = process.getuid?.() === 0;
  const run = join(lab.path, 'run');
  await mkdir(run);
  const socket = join(run, 'agent.sock');
  await link(lab.agent.socket, socket);
  await chmod(lab.path, 0o755);
  await chmod(socket, root ? 0o660 : 0o000);
  const seen = lookAs(root ? 65_534 : null, socket);
  expect(seen).toContain('may=no\n');
  const refusal = forwardRefused(settings(), '/run/zdd-agent/agent.sock', seen);
  const user = /user=(.*)/.exec(seen)?.[1];
  expect(refusal).toMatchObject({
    exit: 11,
    message: `${user} may not use the agent of web1.example.com`,
    tries: [`ssh -t web1.example.com sudo usermod -aG zdd ${user}`],
  });
});

test('an account that may not even look into the folder of the socket is told the same', async () => {
  const root = process.getuid?.() === 0;
  const run = join(lab.path, 'run');
  await mkdir(run, { mode: 0o700 });
  await chmod(lab.path, 0o755);
  await chmod(run, root ? 0o700 : 0o000);
  const seen = lookAs(root ? 65_534 : null, join(run, 'agent.sock'));
  await chmod(run, 0o700);
  expect(forwardRefused(settings(), join(run, 'agent.sock'), seen).message).toContain(
    'may not use the agent of web1.example.com',
  );
});

test.each([
  [0, 'too old', 'update the agent'],
  [2, 'too new', 'update this CLI'],
])(
  'an agent that speaks API %i is %s for this CLI, said over SSH as well',
  async (api, what, mend) => {
    const host = await lab.sshd();
    lab.agent.api = api;
    lab.agent.on('GET /v1/version', replies({ ...VERSION, agent: '9.9.9', api }));
    const { code, stderr } = await statusOf(host.destination);
    expect(code).toBe(11);
    expect(stderr).toContain('ZDD_PROTOCOL_MISMATCH');
    expect(stderr).toContain(`the agent is ${what} for this CLI`);
    expect(stderr).toContain(`9.9.9, API ${api}`);
    expect(stderr).toContain(mend);
  },
);

test('what the agent refuses over SSH is in its own words, with its own exit code', async () => {
  const host = await lab.sshd();
  lab.agent.on(
    'GET /v1/apps/blog',
    refuses(404, 'ZDD_APP_UNKNOWN', 'there is no app blog here', { tries: ['zdd-agent status'] }),
  );
  const ran = await lab.status(host, 'blog');
  expect(ran.code).toBe(2);
  expect(ran.stderr).toContain('there is no app blog here');
  // The agent cannot know from where it is asked.
  expect(ran.stderr).toContain(`Try: zdd-agent status --host ${host.destination} --socket`);
});

import { createReadStream } from 'node:fs';
import { chmod, link, mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { DEFAULT_SOCKET } from '../../agent/protocol/contact.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import { agentOver } from '../../cli/connect/agent-over.ts';
import { localSocket } from '../../cli/connect/local-socket.ts';
import { unreachable } from '../../cli/connect/unreachable.ts';
import { cli, temporaryFolder, tooWide, until } from './run-cli.ts';
import { statusReplyOf } from './samples.ts';
import { json, refuses, replies, type StandIn, standIn, VERSION } from './stand-in.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let agent: StandIn | null;

beforeEach(async () => {
  folder = await temporaryFolder();
  agent = null;
});
afterEach(async () => {
  await agent?.close();
  await folder.remove();
});

async function start(): Promise<StandIn> {
  agent = await standIn(join(folder.path, 'agent.sock'));
  return agent;
}

const run = (...args: string[]) => cli(args, { cwd: folder.path, socket: 'agent.sock' });

test('no socket: the agent is not there, and how to start it', async () => {
  const { code, stdout, stderr } = await run('status');
  expect(code).toBe(11);
  expect(stdout).toBe('');
  expect(stderr).toMatchInlineSnapshot(`
    "Error: there is no agent here: no such socket            ZDD_AGENT_UNREACHABLE
      socket        agent.sock
    Try: zdd-agent status --socket /run/zdd-agent/agent.sock
    "
  `);
  expect(tooWide(stderr)).toEqual([]);
  const usual = unreachable(DEFAULT_SOCKET, Object.assign(new Error('x'), { code: 'ENOENT' }));
  expect(usual.tries).toEqual([
    'sudo systemctl start zdd-agentd',
    'journalctl -u zdd-agentd -n 50',
  ]);
});

test('a socket that nobody listens on: the agent is not running', async () => {
  const server = createServer();
  const kept = join(folder.path, 'agent.sock');
  await new Promise<void>((resolve) => server.listen(join(folder.path, 'first.sock'), resolve));
  // Closing removes the name it listened on; a second name stays, as after SIGKILL.
  await link(join(folder.path, 'first.sock'), kept);
  await new Promise((resolve) => server.close(resolve));
  const { code, stderr } = await run('status');
  expect(code).toBe(11);
  expect(stderr).toContain('the agent is not running: nothing listens');
});

test('a file that is no socket: the same', async () => {
  await writeFile(join(folder.path, 'agent.sock'), 'x');
  expect(await run('status')).toMatchObject({
    code: 11,
    stderr: expect.stringContaining('nothing listens'),
  });
});

test('a socket one may not use: which group to join', async () => {
  const own = process.getuid?.() === 0;
  const locked = join(folder.path, 'locked');
  await mkdir(locked);
  agent = await standIn(join(locked, 'agent.sock'));
  await chmod(folder.path, 0o755);
  await chmod(agent.socket, own ? 0o600 : 0o000);
  const { code, stderr } = await cli(['status'], {
    cwd: folder.path,
    socket: 'locked/agent.sock',
    ...(own ? { uid: 65_534 } : {}),
  });
  expect(code).toBe(11);
  expect(stderr).toMatchInlineSnapshot(`
    "Error: you may not use the socket of the agent           ZDD_AGENT_UNREACHABLE
      socket        locked/agent.sock
      who may       root and members of the group zdd; after joining, log in again
    Try: sudo usermod -aG zdd "$USER"
    "
  `);
});

test('an agent that takes the connection and says nothing is given up on', async () => {
  (await start()).on('GET /v1/doctor', () => {});
  const request = localSocket(join(folder.path, 'agent.sock')).request(
    'GET',
    '/v1/doctor',
    () => z.any(),
    {
      deadlineMs: 100,
    },
  );
  await expect(request).rejects.toMatchObject({
    code: 'ZDD_AGENT_UNREACHABLE',
    message: 'the agent did not answer within 0.1 s',
  });
});

test('an upload that stands still is given up on, one that moves is not', async () => {
  const server = await start();
  server.on('POST /v1/artifacts', () => {});
  const connection = localSocket(server.socket);
  const upload = (chunks: () => AsyncIterable<Buffer>, bytes: number) =>
    connection.request('POST', '/v1/artifacts', () => z.any(), {
      upload: { bytes, open: () => Readable.from(chunks()) },
      deadlineMs: 1_000,
    });
  async function* one() {
    yield Buffer.alloc(10);
  }
  await expect(upload(one, 10)).rejects.toMatchObject({ code: 'ZDD_AGENT_UNREACHABLE' });
  server.on('POST /v1/artifacts', async (request, response) => {
    let bytes = 0;
    for await (const chunk of request) bytes += chunk.length;
    json(response, 200, { bytes });
  });
  // Longer in all than the deadline, never silent for so long.
  async function* many() {
    for (let n = 0; n < 10; n += 1) {
      await new Promise((resolve) => setTimeout(resolve, 150));
      yield Buffer.alloc(10);
    }
  }
  await expect(upload(many, 100)).resolves.toEqual({ bytes: 100 });
});

test('a refusal in the middle of an upload is heard every time, and its connection let go', async () => {
  const server = await start();
  server.on('POST /v1/artifacts', refuses(400, 'ZDD_ARTIFACT_TOO_LARGE', 'the limit is 1 MB'));
  const bytes = 8 * 1024 * 1024;
  const codes = new Set<unknown>();
  for (let n = 0; n < 30; n += 1) {
    // In pieces, and in one that the refusal finds half written: each leaves by another way.
    const open = () =>
      n % 2 === 0
        ? createReadStream('/dev/zero', { end: bytes - 1 })
        : Readable.from([Buffer.alloc(bytes)]);
    const upload = { bytes, open };
    await localSocket(server.socket)
      .request('POST', '/v1/artifacts', () => z.any(), { upload })
      .catch((cause: unknown) => codes.add(cause instanceof ZddError ? cause.code : cause));
  }
  expect([...codes]).toEqual(['ZDD_ARTIFACT_TOO_LARGE']);
  await until(
    async () => (await server.connections()) === 0,
    () => 'the end of every connection',
  );
});

test('an agent that is starting or stopping is busy', async () => {
  (await start()).on('GET /v1/status', refuses(503, 'ZDD_AGENT_BUSY', 'the agent is stopping'));
  expect(await run('status')).toMatchObject({
    code: 11,
    stderr: expect.stringContaining('ZDD_AGENT_BUSY'),
  });
});

test.each([
  [2, 2, 'the agent is too new for this CLI', 'update this CLI'],
  [2, null, 'the agent is too new for this CLI', 'update this CLI'],
  [0, null, 'the agent is too old for this CLI', 'update the agent'],
])(
  'an agent with API %i, header %s, is refused with what to update',
  async (api, header, message, mend) => {
    const server = await start();
    server.api = header;
    // Of another API nothing else is certain: the rest of its reply may look different.
    server.on('GET /v1/version', replies({ agent: '9.9.9', api, pid: 'four' }));
    // Even what looks like an answer to us is not shown.
    if (header !== null) server.on('GET /v1/status', replies(statusReplyOf([])));
    const { code, stderr } = await run('status');
    expect(code).toBe(11);
    expect(stderr).toContain('ZDD_PROTOCOL_MISMATCH');
    expect(stderr).toContain(message);
    expect(stderr).toContain(mend);
  },
);

test.each<[string, (server: StandIn) => void]>([
  [
    'HTML',
    (server) => server.on('GET /v1/status', (_request, response) => void response.end('<html>')),
  ],
  ['another JSON', (server) => server.on('GET /v1/status', replies({ ok: true }))],
  ['an unknown error', (server) => server.on('GET /v1/status', replies({ error: 'no' }, 500))],
  [
    'an error code of the future',
    (server) =>
      server.on('GET /v1/status', replies({ error: { code: 'ZDD_NEW', message: 'x' } }, 400)),
  ],
])('%s where a reply is expected is a mismatch, not a crash', async (_name, prepare) => {
  prepare(await start());
  const { code, stderr } = await run('status');
  expect(code).toBe(11);
  expect(stderr).toContain('ZDD_PROTOCOL_MISMATCH');
  expect(stderr).toContain('GET /v1/status');
});

test('an answer that is cut in half is an agent out of reach', async () => {
  (await start()).on('GET /v1/status', (_request, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('{"schemaVersion":');
    response.socket?.destroy();
  });
  expect(await run('status')).toMatchObject({
    code: 11,
    stderr: expect.stringContaining('the agent closed the connection'),
  });
});

test('a socket path too long for a unix socket is a usage error', async () => {
  const { code, stderr } = await run('status', '--socket', `/${'x'.repeat(120)}`);
  expect(code).toBe(2);
  expect(stderr).toContain('at most 107 bytes');
});

test('an agent says with each answer what it speaks; one that does not is asked once', async () => {
  const server = await start();
  server.on('GET /v1/doctor', replies({ schemaVersion: 1, findings: [] }));
  const over = agentOver(localSocket(server.socket));
  const { signal } = new AbortController();
  await over.doctor(signal);
  expect(server.requests).toEqual(['GET /v1/doctor']);
  server.api = null;
  await over.doctor(signal);
  await over.doctor(signal);
  expect(server.requests.slice(1)).toEqual(['GET /v1/doctor', 'GET /v1/version', 'GET /v1/doctor']);
  expect(VERSION.api).toBe(1);
});

test('an account that has no name, as in many containers, can ask over SSH', async () => {
  await chmod(folder.path, 0o755);
  const { code, stderr } = await cli(['status', '--host', '127.0.0.1:1'], {
    cwd: folder.path,
    env: { HOME: folder.path },
    ...(process.getuid?.() === 0 ? { uid: 54_321 } : {}),
  });
  expect(stderr).toContain('ZDD_AGENT_UNREACHABLE');
  expect(code).toBe(11);
});

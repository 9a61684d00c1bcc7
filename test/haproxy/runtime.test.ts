import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { askWorker } from '../../agent/haproxy/master.ts';
import { CommandRefused } from '../../agent/haproxy/refusal.ts';
import { type Conversation, converse, type Endpoint } from '../../agent/haproxy/runtime.ts';
import { parseProcesses, parseServersConn, parseStat } from '../../agent/haproxy/tables.ts';
import { type Lab, openLab, shop, soon, until } from './harness.ts';

describe('the Runtime API client on a real HAProxy', () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await openLab();
    await lab.proxy.open(soon());
    await lab.app('r1');
    await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
  });

  afterAll(() => lab.close());

  const talk = <T>(work: (conversation: Conversation) => Promise<T>): Promise<T> =>
    converse(lab.admin, soon(), work);
  const refusal = (command: string): Promise<CommandRefused> =>
    talk(({ order }) => order(command)).then(
      () => {
        throw new Error(`${command} was not refused`);
      },
      (error: unknown) => {
        if (error instanceof CommandRefused) return error;
        throw error;
      },
    );

  it.each([
    ['set server zdd_shop/r9 weight 1', 'no_such_server', 'No such server.'],
    ['set server zdd_none/r1 weight 1', 'no_such_backend', 'No such backend.'],
    ['add server zdd_none/r1 127.0.0.1:1', 'no_such_backend', 'No such backend.'],
    ['del server zdd_none/r1', 'no_such_backend', 'No such backend.'],
    ['show servers conn zdd_none', 'no_such_backend', "Can't find backend."],
    ['show stat zdd_none 6 -1', 'no_such_backend', 'No such proxy.'],
    ['del server zdd_shop/r9', 'no_such_server', 'No such server.'],
    [
      'del server zdd_shop/r1',
      'not_in_maintenance',
      'Only servers in maintenance mode can be deleted.',
    ],
    [
      'add server zdd_shop/r1 127.0.0.1:1',
      'already_there',
      'Already exists a server with the same name in backend.',
    ],
    [
      'set server zdd_shop/r1 weight 500',
      'other',
      'Absolute weight can only be between 0 and 256 inclusive.',
    ],
    [
      'set server zdd_shop/r1 addr unix@/x.sock',
      'other',
      // 2.6, and 3.0 and newer.
      /Invalid addr|only supported through configuration file/,
    ],
    ['shutdown session 0x1234', 'no_such_session', "No such session (use 'show sess')."],
    ['enable healt zdd_shop/r1', 'unknown_command', /^Unknown command/],
  ])('reads the refusal of "%s" as %s', async (command, kind, words) => {
    const error = await refusal(command);
    expect(error.code).toBe('ZDD_HAPROXY_COMMAND');
    expect(error.refusal).toBe(kind);
    expect(error.evidence).toContainEqual(['command', command]);
    const [, said] = error.evidence.find(([label]) => label === 'HAProxy says') ?? [];
    expect(said).toMatch(words);
  });

  it('takes silence for success and lets one connection carry many commands', async () => {
    const weights = await talk(async ({ order, ask }) => {
      await order('set server zdd_shop/r1 weight 7');
      const answer = await ask('get weight zdd_shop/r1');
      await order('set server zdd_shop/r1 weight 100');
      return answer;
    });
    expect(weights).toMatch(/^7 \(initial /);
  });

  it('refuses a command that HAProxy would drop without an answer', async () => {
    await expect(talk(({ ask }) => ask(`show stat ${'x'.repeat(20_000)}`))).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_COMMAND',
    });
  });

  it('reads whole answers about 400 servers, and deletes them again', async () => {
    await talk(async ({ order }) => {
      for (let n = 0; n < 400; n += 1) {
        await order(`add server zdd_shop/big${n} unix@/tmp/zdd-big-${n}.sock weight ${n % 257}`);
      }
    });
    const { stat, connections } = await talk(async ({ ask }) => ({
      stat: parseStat(await ask('show stat zdd_shop 4 -1')),
      connections: parseServersConn(await ask('show servers conn zdd_shop')),
    }));
    expect(stat.length).toBe(401);
    expect(connections.length).toBe(401);
    expect(stat.find((row) => row.get('svname') === 'big399')?.get('uweight')).toBe('142');
    await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
    expect(parseStat(await lab.ask('show stat zdd_shop 4 -1')).length).toBe(1);
  });

  it('reads the process table through the master, and nothing of a worker that is not there', async () => {
    const text = await converse(lab.master, soon(), ({ ask }) => ask('show proc'));
    const processes = parseProcesses(text);
    expect(processes.current?.pid).not.toBe(processes.master);
    expect(processes).toMatchObject({ failed: 0, old: [] });
    // 2.6 closes the connection, newer ones answer.
    expect(await askWorker(lab.master, 1, soon(), (ask) => ask('show info'))).toBeUndefined();
  });

  it('stops when its signal says so', async () => {
    const abort = new AbortController();
    await expect(
      converse(lab.admin, abort.signal, async ({ ask }) => {
        abort.abort(new Error('enough'));
        return ask('show info');
      }),
    ).rejects.toThrow('enough');
  });
});

describe('the Runtime API client on a socket that misbehaves', () => {
  let folder: string;
  let endpoint: Endpoint;
  let server: Server | undefined;
  const sockets = new Set<Socket>();
  let asked: string[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'zdd-runtime-'));
    endpoint = { kind: 'admin', path: join(folder, 'admin.sock'), commandMs: 200 };
  });

  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
    asked = [];
    await new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()));
    server = undefined;
    await rm(folder, { recursive: true, force: true });
  });

  /** Answers the n-th line it reads by the n-th of these; `end` closes, null stays silent. */
  const serve = (...answers: readonly (string | null | 'end')[]): Promise<void> =>
    new Promise((resolve) => {
      server = createServer((socket) => {
        sockets.add(socket);
        socket.on('error', () => undefined);
        let line = 0;
        socket.on('data', (text) => {
          asked.push(String(text));
          const answer = answers[line++];
          if (answer === 'end') socket.end();
          else if (answer?.endsWith('<end>')) socket.end(answer.slice(0, -'<end>'.length));
          else if (answer !== null && answer !== undefined) socket.write(answer);
        });
      });
      server.listen(endpoint.path, resolve);
    });
  const ask = (): Promise<string> =>
    converse(endpoint, soon(), (conversation) => conversation.ask('show info'));

  it('says that nothing listens when the socket is dead or missing', async () => {
    await expect(ask()).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_DOWN',
      evidence: expect.arrayContaining([['error', 'ENOENT']]),
    });
    await serve();

    execFileSync('python3', [
      '-c',
      'import socket,sys;s=socket.socket(socket.AF_UNIX);s.bind(sys.argv[1])',
      `${endpoint.path}.dead`,
    ]);
    endpoint = { ...endpoint, path: `${endpoint.path}.dead` };
    await expect(ask()).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_DOWN',
      evidence: expect.arrayContaining([['error', 'ECONNREFUSED']]),
    });
  });

  it('gives up on a socket that takes the connection and never answers', async () => {
    await serve(null);
    await expect(ask()).rejects.toMatchObject({ code: 'ZDD_HAPROXY_TIMEOUT' });
  });

  it('names the command that was not answered in time', async () => {
    await serve('\n> ', null);
    await expect(ask()).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_TIMEOUT',
      evidence: expect.arrayContaining([['while', 'show info']]),
    });
  });

  it('does not take an answer that was cut for a whole one', async () => {
    await serve('\n> ', 'Name: HAProxy\nVersion: 2.6.12\nPid: 12<end>');
    await expect(ask()).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_DOWN',
      message: expect.stringContaining('in the middle of an answer'),
      evidence: expect.arrayContaining([['received', expect.stringContaining('Pid: 12')]]),
    });
  });

  it('does not take one cut at the end of a line for a whole one either', async () => {
    await serve('\n> ', 'Name: HAProxy\n\n<end>');
    await expect(ask()).rejects.toMatchObject({ code: 'ZDD_HAPROXY_DOWN' });
  });

  it('puts an answer together that comes in pieces, and is not fooled by "> " within a line', async () => {
    await serve('\n> ', 'a -> ');
    const answer = ask();
    await until('it has asked', () => asked.length === 2);
    for (const part of ['b\nc', '\n', '\n', '>', ' ']) {
      await new Promise((resolve) => setImmediate(resolve));
      for (const socket of sockets) socket.write(part);
    }
    expect(await answer).toBe('a -> b\nc');
  });
});

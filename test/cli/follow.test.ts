import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ZddError } from '../../agent/protocol/errors.ts';
import { followed } from '../../cli/connect/follow.ts';
import { NotNdjson, parseNdjson } from '../../cli/connect/ndjson.ts';
import { cli, startCli, temporaryFolder } from './run-cli.ts';
import { AT, app, R42, receipt, storyOf } from './samples.ts';
import { replies, type StandIn, standIn, streams } from './stand-in.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let agent: StandIn;

beforeEach(async () => {
  folder = await temporaryFolder();
  agent = await standIn(join(folder.path, 'agent.sock'));
});
afterEach(async () => {
  await agent.close();
  await folder.remove();
});

const attach = ['attach', '57', '--app', 'shop', '--json'];

function running(): void {
  agent.on('GET /v1/apps/shop', replies(app()));
  agent.on(
    'GET /v1/apps/shop/deployments/57',
    replies({ app: 'shop', deployment: 57, phase: 'baking', outcome: null, receipt: null }),
  );
}

test('a watched deployment goes on after the last event when the stream is cut within a line', async () => {
  running();
  const story = storyOf(receipt());
  let connections = 0;
  agent.on('GET /v1/events', (request, response, url) => {
    connections += 1;
    if (connections === 3) return streams(story)(request, response, url);
    const since = Number(url.searchParams.get('since'));
    const next = story.filter(({ seq }) => seq > since).slice(0, 5);
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    for (const each of next) response.write(`${JSON.stringify(each)}\n`);
    response.write('{"seq":', () => response.socket?.destroy());
  });
  const { code, stdout } = await cli(attach, { socket: agent.socket });
  expect(code).toBe(0);
  const seen = stdout
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  // Each event once, in order, then the receipt.
  expect(seen).toEqual([...story, receipt()]);
  expect(agent.requests.filter((line) => line.includes('/events'))).toEqual([
    'GET /v1/events?app=shop&deployment=57&since=0&follow=1',
    'GET /v1/events?app=shop&deployment=57&since=105&follow=1',
    'GET /v1/events?app=shop&deployment=57&since=110&follow=1',
  ]);
});

test('a watched deployment survives a restart of the agent, and people are told once', async () => {
  running();
  const story = storyOf(receipt());
  agent.on('GET /v1/events', streams(story.slice(0, 7)));
  const watching = startCli(['attach', '57', '--app', 'shop'], { socket: agent.socket });
  await watching.says('npm run migrate');
  await agent.close();
  await watching.says('out of reach for a moment');
  agent = await standIn(agent.socket);
  running();
  agent.on('GET /v1/events', streams(story));
  const { code, stderr } = await watching.ended();
  expect(code).toBe(0);
  expect(stderr.match(/out of reach for a moment/g)).toHaveLength(1);
  expect(stderr.match(/npm run migrate/g)).toHaveLength(1);
  expect(stderr).toContain('(the agent is back)');
});

test('an agent that repeats events after a reconnect is not believed twice', async () => {
  running();
  const story = storyOf(receipt());
  let connections = 0;
  agent.on('GET /v1/events', (_request, response) => {
    connections += 1;
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const upTo = connections === 1 ? 6 : story.length;
    response.end(
      story
        .slice(0, upTo)
        .map((each) => `${JSON.stringify(each)}\n`)
        .join(''),
    );
  });
  const { stdout } = await cli(attach, { socket: agent.socket });
  expect(stdout.trim().split('\n')).toHaveLength(story.length + 1);
});

test('a stream of something else than NDJSON is a mismatch and is not asked for again', async () => {
  running();
  agent.on('GET /v1/events', (_request, response) => void response.end('<html>\n'));
  const { code, stderr } = await cli(['attach', '57', '--app', 'shop'], { socket: agent.socket });
  expect(code).toBe(11);
  expect(stderr).toContain('ZDD_PROTOCOL_MISMATCH');
  expect(stderr).toContain('shop #57 goes on if the agent runs');
  expect(stderr).toContain('Try: zdd-agent attach 57 --app shop');
  expect(agent.requests.filter((line) => line.includes('/events'))).toHaveLength(1);
});

test('followed logs lose and repeat no line over a restart of the agent', async () => {
  agent.on(
    'GET /v1/status',
    replies({ schemaVersion: 1, agent: '0.1.0', apps: [app()], attention: [] }),
  );
  const line = (at: number, text: string) =>
    `${JSON.stringify({ at, app: 'shop', release: R42, slot: 'r42-d57-web-1', stream: 'out', text })}\n`;
  // Two of the same moment before the cut, a third of it only after.
  const before = [line(AT, 'a'), line(AT + 1, 'b'), line(AT + 1, 'c')];
  const after = [...before, line(AT + 1, 'd'), line(AT + 2, 'e')];
  let connections = 0;
  agent.on('GET /v1/apps/shop/logs', (_request, response) => {
    connections += 1;
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const text = (connections === 1 ? before : after).join('');
    response.write(text, () => connections === 1 && response.socket?.destroy());
  });
  const following = startCli(['logs', '-f', '--json'], { socket: agent.socket, cwd: folder.path });
  await following.says('"e"');
  following.child.kill('SIGINT');
  const { code, stdout } = await following.ended();
  expect(code).toBe(130);
  const texts = stdout
    .trim()
    .split('\n')
    .map((each): unknown => JSON.parse(each).text);
  expect(texts).toEqual(['a', 'b', 'c', 'd', 'e']);
});

test('events | head ends in silence', async () => {
  agent.on('GET /v1/events', (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const story = storyOf(receipt());
    let seq = 0;
    const more = () => {
      for (const each of story) {
        seq += 1;
        response.write(`${JSON.stringify({ ...each, seq })}\n`);
      }
    };
    const timer = setInterval(more, 5);
    response.on('close', () => clearInterval(timer));
  });
  const following = startCli(['events', '-f'], { socket: agent.socket });
  await following.says('deploy started');
  following.child.stdout?.destroy();
  const { code, stderr } = await following.ended();
  expect(stderr).toBe('');
  expect(code).toBe(0);
});

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const away = new ZddError('ZDD_AGENT_UNREACHABLE', 'gone');
const { signal } = new AbortController();

test('an agent that is not there at the start is an error at once', async () => {
  let opened = 0;
  const items = followed<number>({
    open: async function* () {
      opened += 1;
      yield* [];
      throw away;
    },
    ping: async () => {},
    seen: () => true,
    signal,
  });
  await expect(collect(items)).rejects.toBe(away);
  expect(opened).toBe(1);
});

test('an outage is waited out no longer than its limit', async () => {
  let gaps = 0;
  const items = followed<number>({
    open: async function* (_signal, onThere) {
      onThere();
      yield* [];
      throw away;
    },
    ping: async () => {},
    seen: () => true,
    onGap: () => {
      gaps += 1;
    },
    signal,
    outageMs: 300,
  });
  await expect(collect(items)).rejects.toBe(away);
  expect(gaps).toBe(1);
});

test('a silent agent that shows no sign of life is a drop, one that does is waited for', async () => {
  let opened = 0;
  let pings = 0;
  const items = followed<number>({
    open: async function* (from, onThere) {
      onThere();
      opened += 1;
      if (opened === 2) yield 1;
      if (opened === 3) throw new Error('enough');
      await new Promise((_resolve, reject) => from.addEventListener('abort', () => reject(away)));
    },
    ping: async () => {
      pings += 1;
      if (pings === 2 || pings === 5) throw away;
    },
    seen: () => true,
    signal,
    idleMs: 20,
  });
  const seen: number[] = [];
  await expect(
    (async () => {
      for await (const item of items) seen.push(item);
    })(),
  ).rejects.toThrow('enough');
  expect(seen).toEqual([1]);
  expect(pings).toBe(5);
});

test('leaving ends a wait between two tries at once', async () => {
  const controller = new AbortController();
  const items = followed<number>({
    open: async function* (_signal, onThere) {
      onThere();
      yield* [];
      throw away;
    },
    ping: async () => {},
    seen: () => true,
    onGap: () => controller.abort(new Error('left')),
    signal: controller.signal,
  });
  await expect(collect(items)).rejects.toThrow('left');
});

test('NDJSON is read whatever the pieces it comes in', async () => {
  async function* pieces(...texts: string[]) {
    yield* texts;
  }
  expect(await collect(parseNdjson(pieces('{"a"', ':1}\n\n{"b":2', '}\n[3]\n4')))).toEqual([
    { a: 1 },
    { b: 2 },
    [3],
    4,
  ]);
  await expect(collect(parseNdjson(pieces('{"a":1}\n{"b"')))).rejects.toBeInstanceOf(SyntaxError);
  await expect(collect(parseNdjson(pieces('no\n')))).rejects.toBeInstanceOf(NotNdjson);
  await expect(collect(parseNdjson(pieces('x'.repeat(5_000_000))))).rejects.toBeInstanceOf(
    NotNdjson,
  );
});

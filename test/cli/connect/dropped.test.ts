import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Receipt, ZddEvent } from '../../../agent/protocol/events.ts';
import { until } from '../run-cli.ts';
import { AT, app, failedReceipt, R42, receipt, stamp, storyOf, ZDD_YAML } from '../samples.ts';
import { type Answer, json, readJson, replies, streams, takesArtifacts } from '../stand-in.ts';
import { type Cutter, numbers, openCutter } from './cutter.ts';
import { type Lab, openLab } from './lab.ts';
import type { Sshd } from './sshd.ts';

const CUTS = 24;
/** The greeting, the key exchange, the login and the first answers have about this many bytes. */
const HANDSHAKE = 5_000;
/** After several cuts within a handshake the CLI waits up to two seconds before the next try. */
const PATIENCE_MS = 100_000;

let lab: Lab;
let host: Sshd;
let way: Cutter;
let project: string;
let stopGrowing = () => {};

beforeEach(async () => {
  lab = await openLab();
  host = await lab.sshd();
  way = await openCutter(host);
  const known = [...host.publicKeys.values()].map((key) => `${way.known} ${key}\n`);
  await lab.me.write('known_hosts', known.join(''));
  project = join(lab.path, 'project');
  await mkdir(project);
  await writeFile(join(project, 'zdd.yaml'), ZDD_YAML);
  lab.agent.on('GET /v1/apps/shop', replies(app()));
  lab.agent.on('POST /v1/artifacts', takesArtifacts(lab.agent));
  lab.agent.on(
    'POST /v1/deployments',
    replies({ app: 'shop', deployment: 57, result: 'started', since: 100 }, 202),
  );
});
afterEach(async () => {
  stopGrowing();
  await way.close();
  await lab.remove();
});

const overSsh = () => ['--host', way.destination, '--socket', lab.agent.socket];

/** Something that goes on and on, told to whoever asks from wherever they are. */
function growing<T>(first: readonly T[], next: (number: number) => T | null) {
  const all = [...first];
  const tellers = new Set<() => void>();
  const timer = setInterval(() => {
    const more = next(all.length);
    if (more === null) return;
    all.push(more);
    for (const tell of tellers) tell();
  }, 20);
  stopGrowing = () => clearInterval(timer);
  const tells =
    (from: (url: URL) => number): Answer =>
    (_request, response, url) => {
      let at = from(url);
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      const tell = () => {
        for (const each of all.slice(at)) response.write(`${JSON.stringify(each)}\n`);
        at = all.length;
      };
      tell();
      tellers.add(tell);
      response.on('close', () => tellers.delete(tell));
    };
  return { all, tells };
}

/** The events of a push, of which there are ever more until the way has broken often enough. */
function pushThatGoesOn(end: Receipt): readonly ZddEvent[] {
  const story = storyOf(end);
  const last = story.at(-1);
  if (last === undefined) throw new Error('a story has an end');
  let ended = false;
  const { all, tells } = growing<ZddEvent>(story.slice(0, -1), (number) => {
    if (ended) return null;
    if (way.cuts() >= CUTS) {
      ended = true;
      return { ...last, seq: 101 + number };
    }
    const [look] = stamp([
      {
        type: 'progress',
        app: 'shop',
        deployment: 57,
        phase: 'baking',
        message: `look ${number} ${'.'.repeat(100)}`,
      },
    ]);
    return look ? { ...look, seq: 101 + number } : null;
  });
  const since = (url: URL) => Math.max(0, Number(url.searchParams.get('since')) - 100);
  lab.agent.on('GET /v1/events', tells(since));
  return all;
}

test.each([
  [1, 0, receipt()],
  [
    2,
    21,
    failedReceipt(
      'baking',
      { code: 'ZDD_GATE_FAILED', message: 'too many errors', evidence: [], tries: [] },
      { outcome: 'rolled_back' },
    ),
  ],
])(
  'sshd killed 24 times at byte after byte (seed %i): one deployment, every event once, exit %i',
  async (seed, code, end) => {
    const all = pushThatGoesOn(end);
    const push = lab.me.start(['push', '--json', ...overSsh()], {
      cwd: project,
      deadlineMs: PATIENCE_MS,
    });
    await push.says('phase_changed');
    way.breakAfter(numbers(seed, CUTS, 2 * HANDSHAKE));
    const ran = await push.ended();
    expect(ran.stderr).not.toContain('unreachable');
    expect(ran.code).toBe(code);
    expect(way.cuts()).toBe(CUTS);
    const seen = ran.stdout
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    expect(seen).toEqual([...all, end]);
    expect(all.length).toBeGreaterThan(CUTS);
    const asked = lab.agent.requests.filter((line) => line === 'POST /v1/deployments');
    expect(asked).toHaveLength(1);
  },
  PATIENCE_MS,
);

test('a way that breaks before the answer of the agent does not start a second deployment', async () => {
  lab.agent.on('GET /v1/events', streams(storyOf(receipt())));
  const ids: unknown[] = [];
  lab.agent.on('POST /v1/deployments', async (request, response) => {
    await readJson(request);
    ids.push(request.headers['x-zdd-request']);
    if (ids.length < 4) await host.cut();
    else json(response, 202, { app: 'shop', deployment: 57, result: 'started', since: 100 });
  });
  const push = await lab.me.run(['push', ...overSsh()], { cwd: project });
  expect(push.code).toBe(0);
  // One number for all four: by it the agent tells a repetition from a second wish.
  expect(new Set(ids).size).toBe(1);
  expect(ids).toHaveLength(4);
});

test(
  'followed logs go on after each cut, no line lost, none twice',
  async () => {
    const line = (number: number) => ({
      at: AT + Math.floor(number / 3),
      app: 'shop',
      release: R42,
      slot: 'r42-d57-web-1',
      stream: 'out',
      text: `line ${number} ${'.'.repeat(60)}`,
    });
    const { all, tells } = growing([], line);
    lab.agent.on(
      'GET /v1/apps/shop/logs',
      tells((url) => {
        const wanted = Number(url.searchParams.get('lines'));
        return Math.max(0, all.length - wanted);
      }),
    );
    const logs = lab.me.start(
      ['logs', '-f', '-n', '10000', '--json', '--app', 'shop', ...overSsh()],
      {
        deadlineMs: PATIENCE_MS,
      },
    );
    await logs.says('line 9 ');
    way.breakAfter(numbers(3, CUTS, 20 * HANDSHAKE));
    await until(
      () => way.cuts() === CUTS,
      () => `the cuts, ${way.cuts()} so far: ${logs.stderr()}`,
      PATIENCE_MS,
    );
    await logs.says(`line ${all.length} `);
    logs.child.kill('SIGINT');
    const { code, stdout } = await logs.ended();
    expect(code).toBe(130);
    const seen = stdout
      .trim()
      .split('\n')
      .flatMap((each) => /line \d+/.exec(each) ?? []);
    expect(seen).toEqual(seen.map((_, number) => `line ${number}`));
  },
  PATIENCE_MS,
);

test('a connection that stands and says nothing any more is given up, and the next one goes on', async () => {
  await lab.me.write('config', 'ServerAliveInterval 1\nServerAliveCountMax 2\n');
  const story = storyOf(receipt());
  let connections = 0;
  lab.agent.on('GET /v1/events', (request, response, url) => {
    connections += 1;
    streams(connections === 1 ? story.slice(0, 7) : story)(request, response, url);
  });
  const push = lab.me.start(['push', ...overSsh()], { cwd: project });
  await push.says('npm run migrate');
  await host.freeze();
  const { code, stderr } = await push.ended();
  expect(code).toBe(0);
  expect(stderr).toContain('(the agent is out of reach for a moment');
  expect(stderr.match(/npm run migrate/g)).toHaveLength(1);
  expect(connections).toBe(2);
});

test('a host that stays away ends it with 11 and how to attach, and nothing is left behind', async () => {
  lab.agent.on('GET /v1/events', streams(storyOf(receipt()).slice(0, 7)));
  const push = lab.me.start(['push', ...overSsh()], { cwd: project });
  await push.says('npm run migrate');
  // Another key answers at the same place: waiting cannot mend that.
  await host.stop();
  await way.close();
  const other = await lab.sshd({ name: 'other', port: host.port });
  await lab.me.write('known_hosts', '');
  way = await openCutter(other, Number(way.destination.split(':')[1]));
  const { code, stderr } = await push.ended();
  expect(code).toBe(11);
  expect(stderr).toContain('shop #57 goes on if the agent runs');
  expect(stderr).toContain('Try: zdd-agent attach 57');
  expect((await readdir(lab.me.home)).filter((name) => name !== '.ssh')).toEqual([]);
});

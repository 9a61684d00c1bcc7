import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { until } from '../run-cli.ts';
import { AT, app, failedReceipt, R42, receipt, stamp, storyOf, ZDD_YAML } from '../samples.ts';
import { json, readJson, replies, streams, takesArtifacts } from '../stand-in.ts';
import { type Cutter, numbers, openCutter } from './cutter.ts';
import { type Lab, openLab } from './lab.ts';
import type { Sshd } from './sshd.ts';

const CUTS = 24;
/** The greeting, the key exchange, the login and the first answers have about this many bytes. */
const HANDSHAKE = 6_000;

let lab: Lab;
let host: Sshd;
let way: Cutter;
let project: string;

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
  await way.close();
  await lab.remove();
});

const overSsh = () => ['--host', way.destination, '--socket', lab.agent.socket];

/** The events of a push that go on only once the way was cut for the last time. */
function toldUntilAllCuts(end: ReturnType<typeof receipt>) {
  const story = storyOf(end);
  const chatter = Array.from({ length: 40 }, (_, number) => ({
    type: 'progress' as const,
    app: 'shop',
    deployment: 57,
    phase: 'baking' as const,
    message: `look ${number} ${'.'.repeat(100)}`,
  }));
  const last = story.at(-1);
  if (last === undefined) throw new Error('a story has an end');
  const before = [...story.slice(0, -1), ...stamp(chatter, 300)];
  const all = [...before, { ...last, seq: 500 }];
  lab.agent.on('GET /v1/events', (request, response, url) =>
    streams(way.cuts() >= CUTS ? all : before)(request, response, url),
  );
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
    const all = toldUntilAllCuts(end);
    const push = lab.me.start(['push', '--json', ...overSsh()], { cwd: project });
    await push.says('phase_changed');
    way.breakAfter(numbers(seed, CUTS, HANDSHAKE));
    const ran = await push.ended();
    expect(ran.stderr).not.toContain('unreachable');
    expect(ran.code).toBe(code);
    expect(way.cuts()).toBe(CUTS);
    const seen = ran.stdout
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    expect(seen).toEqual([...all, end]);
    const asked = lab.agent.requests.filter((line) => line === 'POST /v1/deployments');
    expect(asked).toHaveLength(1);
  },
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

test('followed logs go on after each cut, no line lost, none twice', async () => {
  const line = (number: number) => ({
    at: AT + Math.floor(number / 3),
    app: 'shop',
    release: R42,
    slot: 'r42-d57-web-1',
    stream: 'out',
    text: `line ${number} ${'.'.repeat(60)}`,
  });
  let told = 20;
  lab.agent.on('GET /v1/apps/shop/logs', (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    told += 7;
    for (let number = 0; number < told; number += 1) {
      response.write(`${JSON.stringify(line(number))}\n`);
    }
  });
  const logs = lab.me.start(['logs', '-f', '--json', '--app', 'shop', ...overSsh()]);
  await logs.says('line 26 ');
  way.breakAfter(numbers(3, CUTS, HANDSHAKE));
  await until(
    () => way.cuts() === CUTS,
    () => `the cuts, ${way.cuts()} so far: ${logs.stderr()}`,
  );
  const goal = told;
  await logs.says(`line ${goal} `);
  logs.child.kill('SIGINT');
  const { code, stdout } = await logs.ended();
  expect(code).toBe(130);
  const seen = stdout
    .trim()
    .split('\n')
    .flatMap((each) => /line \d+/.exec(each) ?? []);
  expect(seen).toEqual(seen.map((_, number) => `line ${number}`));
});

test('a host that stays away ends it with 11 and how to attach, and nothing is left behind', async () => {
  lab.agent.on('GET /v1/events', streams(storyOf(receipt()).slice(0, 5)));
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

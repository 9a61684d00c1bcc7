import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { cli, temporaryFolder, tooWide } from './run-cli.ts';
import {
  AT,
  ago,
  app,
  failedReceipt,
  R41,
  R42,
  receipt,
  stamp,
  statusReplyOf,
  storyOf,
} from './samples.ts';
import { json, replies, type StandIn, standIn, streams } from './stand-in.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let agent: StandIn;

beforeAll(async () => {
  folder = await temporaryFolder();
  agent = await standIn(join(folder.path, 'agent.sock'));
});
afterAll(async () => {
  await agent.close();
  await folder.remove();
});
beforeEach(() => {
  agent.on('GET /v1/status', replies(statusReplyOf([app()])));
  agent.requests.length = 0;
});

const run = (...args: string[]) => cli(args, { socket: agent.socket, cwd: folder.path });

test('releases lists them newest first', async () => {
  const release = { createdAt: ago(7_800_000), bytes: 38_100_000, files: 1_204 };
  agent.on(
    'GET /v1/apps/shop/releases',
    replies({
      schemaVersion: 1,
      app: 'shop',
      releases: [
        { ...release, release: R42, state: 'live', source: './ (git 9f3c1e2, clean)' },
        { ...release, release: R41, state: 'warm', source: 'dist/shop.tar.gz' },
        {
          ...release,
          release: 'r40-1111111',
          state: 'bad',
          source: '../a/very/long/path/to/some/checkout (git 9f3c1e2, with changes)',
        },
      ],
    }),
  );
  const { stdout } = await run('releases');
  expect(stdout).toMatchInlineSnapshot(`
    "release       state   age      size      files   from
    r42-ab12cd3   live    2h 10m   38.1 MB   1,204   ./ (git 9f3c1e2, clean)
    r41-0c1d2e3   warm    2h 10m   38.1 MB   1,204   dist/shop.tar.gz
    r40-1111111   bad     2h 10m   38.1 MB   1,204   ../a/very/long/path/to/some…
    "
  `);
  expect(tooWide(stdout)).toEqual([]);
});

test('the app is --app, else the nearest zdd.yaml upward, else the only one on the host', async () => {
  const deep = join(folder.path, 'project', 'src', 'deep');
  await mkdir(deep, { recursive: true });
  // A mistake further down must not be in the way of a rollback.
  await writeFile(join(folder.path, 'project', 'zdd.yaml'), 'app: blog\nprocesses: 3\n');
  for (const name of ['blog', 'shop', 'other']) {
    agent.on(
      `GET /v1/apps/${name}/releases`,
      replies({ schemaVersion: 1, app: name, releases: [] }),
    );
  }
  const say = async (cwd: string, ...args: string[]) =>
    (await cli(['releases', ...args], { socket: agent.socket, cwd })).stdout.split(' ')[0];
  expect(await say(deep)).toBe('blog');
  expect(await say(deep, '--app', 'other')).toBe('other');
  expect(await say(deep, 'other')).toBe('other');
  expect(await say(folder.path)).toBe('shop');
});

test('several apps and none named is a usage error that names them', async () => {
  agent.on('GET /v1/status', replies(statusReplyOf([app(), app({ app: 'blog' })])));
  const { code, stderr } = await run('releases');
  expect(code).toBe(2);
  expect(stderr).toMatchInlineSnapshot(`
    "Error: which app? There are several on this host                     ZDD_USAGE
      apps          shop, blog
    Try: zdd-agent ... --app shop
    "
  `);
});

test('events are one line a change', async () => {
  agent.on(
    'GET /v1/events',
    streams([
      ...storyOf(receipt({ steps: receipt().steps.slice(1, 3) })),
      ...stamp(
        [
          {
            type: 'traffic_moved',
            app: 'shop',
            deployment: 57,
            shares: { [R42]: 100, [R41]: 0 },
            ms: 7,
            reloaded: false,
          },
          {
            type: 'progress',
            app: 'shop',
            deployment: 57,
            phase: 'baking',
            message: '12 requests',
          },
          { type: 'release_created', app: 'shop', deployment: 57, release: R42, reused: true },
          {
            type: 'draining',
            app: 'shop',
            deployment: 57,
            release: R41,
            requests: 1,
            websockets: 212,
            closingFrom: AT + 600_000,
          },
          { type: 'release_stopped', app: 'shop', deployment: 57, release: R41, ms: 612_000 },
          { type: 'release_pruned', app: 'shop', deployment: null, release: 'r36-9999999' },
          {
            type: 'instance_exited',
            app: 'shop',
            deployment: null,
            slot: 'r42-d57-web-1',
            release: R42,
            reason: 'signal SIGKILL',
            restartInMs: 1_000,
          },
          {
            type: 'recovered',
            app: 'shop',
            deployment: 57,
            decision: 'finish',
            reason: 'traffic had moved',
          },
          { type: 'drift', app: 'shop', deployment: null, what: 'r42: weight 0', repaired: true },
        ],
        201,
      ),
    ]),
  );
  const { code, stdout } = await run('events');
  expect(code).toBe(0);
  expect(stdout).toMatchInlineSnapshot(`
    "2026-11-23 18:29:58  shop #57    deploy started by deploy@laptop over r41-0c1d2e3, from ./ (git 9f3c1e2, clean)
    2026-11-23 18:29:59  shop #57    phase unpacking
    2026-11-23 18:30:00  shop #57    unpack: r42-ab12cd3: 12 files (0.2s)
    2026-11-23 18:30:01  shop #57    phase unpacking → releasing
    2026-11-23 18:30:02  shop #57    release: npm run migrate (1.1s)
    2026-11-23 18:30:03  shop #57    succeeded r42-ab12cd3, 0 of 2,140 lost
    2026-11-23 18:29:58  shop #57    traffic r42-ab12cd3 100 %, r41-0c1d2e3 0 % (7 ms)
    2026-11-23 18:29:59  shop #57    bake: 12 requests
    2026-11-23 18:30:00  shop #57    release r42-ab12cd3 was there already
    2026-11-23 18:30:01  shop #57    draining r41-0c1d2e3: 1 request, 212 WebSockets, closing from 18:39
    2026-11-23 18:30:02  shop #57    stopped r41-0c1d2e3 (10m12s)
    2026-11-23 18:30:03  shop        pruned r36-9999999
    2026-11-23 18:30:04  shop        r42-d57-web-1 of r42-ab12cd3 ended: signal SIGKILL, again in 1.0s
    2026-11-23 18:30:05  shop #57    recovered: finish, traffic had moved
    2026-11-23 18:30:06  shop        drift: r42: weight 0, repaired
    "
  `);
});

test('events --since takes the number of an event or a time ago', async () => {
  const [old, recent] = stamp([
    { type: 'release_pruned', app: 'shop', deployment: null, release: 'r36-9999999' },
    { type: 'release_pruned', app: 'shop', deployment: null, release: 'r37-9999999' },
  ]);
  if (!old || !recent) throw new Error('two events');
  agent.on('GET /v1/events', streams([old, { ...recent, at: Date.now() - 1_000 }]));
  expect((await run('events', '--since', '1h')).stdout).not.toContain('r36');
  expect((await run('events', '--since', '1h')).stdout).toContain('r37');
  expect((await run('events', '--since', '101')).stdout).not.toContain('r36');
  expect(agent.requests.at(-1)).toBe('GET /v1/events?since=101');
});

test('events --json passes on what only a newer agent knows', async () => {
  agent.on('GET /v1/events', (_request, response) => {
    response.write('{"seq":1,"at":1,"app":"shop","deployment":null,"type":"tea_made","cups":2}\n');
    response.end(
      `${JSON.stringify({ ...stamp([{ type: 'drift', app: 'shop', deployment: null, what: 'x', repaired: true }], 2)[0], later: 1 })}\n`,
    );
  });
  const { code, stdout } = await run('events', '--json');
  expect(code).toBe(0);
  const [tea, drift] = stdout.trim().split('\n');
  expect(JSON.parse(tea ?? '')).toMatchObject({ type: 'tea_made', cups: 2 });
  expect(JSON.parse(drift ?? '')).toMatchObject({ type: 'drift', later: 1 });
  expect((await run('events')).stdout.trim().split('\n')).toHaveLength(1);
});

test('logs have time, release and instance before each line, and no control characters', async () => {
  agent.on('GET /v1/apps/shop/logs', (_request, response) => {
    const line = { app: 'shop', release: R42, slot: 'shop.r42-ab12cd3-d57-web-1' };
    response.write(`${JSON.stringify({ ...line, at: AT, stream: 'out', text: 'listening' })}\n`);
    response.end(
      `${JSON.stringify({ ...line, at: AT + 1_000, stream: 'err', text: 'Error: \u001b]0;owned\u0007\u001b[31mred\u001b[0m\tend\u0000' })}\n`,
    );
  });
  const { stdout } = await run('logs', '--release', 'r42', '--process', 'web', '-n', '5');
  expect(stdout).toMatchInlineSnapshot(`
    "18:29:58 r42 web.1     listening
    18:29:59 r42 web.1   ! Error: red  end
    "
  `);
  expect(agent.requests.at(-1)).toBe('GET /v1/apps/shop/logs?release=r42&process=web&lines=5');
});

test('logs --since asks for all lines and shows those of that time', async () => {
  agent.on('GET /v1/apps/shop/logs', (_request, response) => {
    const line = { app: 'shop', release: R42, slot: 'r42-d57-web-1', stream: 'out' };
    response.write(`${JSON.stringify({ ...line, at: Date.now() - 600_000, text: 'old' })}\n`);
    response.end(`${JSON.stringify({ ...line, at: Date.now() - 1_000, text: 'new' })}\n`);
  });
  const { stdout } = await run('logs', '--since', '2m');
  expect(stdout).toContain('new');
  expect(stdout).not.toContain('old');
  expect(agent.requests.at(-1)).toContain('lines=10000');
});

test('doctor lists findings with what mends them, and ends with 22 on an error', async () => {
  const findings = [
    { level: 'ok', code: 'haproxy', what: 'HAProxy 2.6.12 answers (pid 711)', tries: [] },
    {
      level: 'warning',
      code: 'disk',
      what: '1.2 GiB free in /var/lib/zdd-agent',
      tries: ['df -h'],
    },
  ];
  agent.on('GET /v1/doctor', replies({ schemaVersion: 1, findings }));
  const fine = await run('doctor');
  expect(fine.code).toBe(0);
  expect(fine.stdout).toMatchInlineSnapshot(`
    "ok       HAProxy 2.6.12 answers (pid 711)
    warning  1.2 GiB free in /var/lib/zdd-agent
             Try: df -h
    "
  `);
  findings.push({ level: 'error', code: 'ZDD_HAPROXY_DOWN', what: 'HAProxy is down', tries: [] });
  agent.on('GET /v1/doctor', replies({ schemaVersion: 1, findings }));
  expect((await run('doctor', '--json')).code).toBe(22);
});

test('why prints the whole receipt of a failed deployment', async () => {
  const failed = failedReceipt('probing', {
    code: 'ZDD_PROBE_TIMEOUT',
    message: 'the new release never became healthy',
    evidence: [
      ['last answer', '503 from GET /healthz in 4 ms: {"db":"connect ECONNREFUSED"}'],
      ['last output', 'Error: connect ECONNREFUSED\n    at TCPConnectWrap.afterConnect'],
    ],
    traffic: `untouched: 100 % on ${R41}, 0 requests lost`,
    tries: ['zdd-agent logs --release r42 --since 2m'],
  });
  agent.on(
    'GET /v1/apps/shop/deployments/58',
    replies({ app: 'shop', deployment: 58, phase: null, outcome: 'failed', receipt: failed }),
  );
  const { code, stdout } = await run('why', '#58');
  expect(code).toBe(0);
  expect(stdout).toMatchInlineSnapshot(`
    "shop #57  r42-ab12cd3  failed                              2026-11-23 18:29:58
      kind          deploy
      before        r41-0c1d2e3
      took          2m03s, traffic did not move
      requests      2,140, 0 lost, 0 errors by the app itself

      receive       12.0 kB                                                  31 ms
      unpack        r42-ab12cd3: 12 files                                     0.2s
      release       npm run migrate                                           1.1s
      start         web ×2, worker ×1                                         0.9s

      why           ZDD_PROBE_TIMEOUT: the new release never became healthy
      last answer   503 from GET /healthz in 4 ms: {"db":"connect ECONNREFUSED"}
      last output   Error: connect ECONNREFUSED
                        at TCPConnectWrap.afterConnect
      traffic       untouched: 100 % on r41-0c1d2e3, 0 requests lost
    Try: zdd-agent logs --release r42 --since 2m
    "
  `);
  expect(tooWide(stdout)).toEqual([]);
  expect(JSON.parse((await run('why', '58', '--json')).stdout)).toEqual(failed);
});

test('why tells what each gate said', async () => {
  const judged = receipt({
    verdicts: [
      {
        gate: 'sequential',
        outcome: 'pass',
        action: 'proceed',
        metric: 'bad requests',
        value: 0,
        unit: 'share',
        threshold: 0.01,
        n: 1_931,
        interval: { low: 0, high: 0.00199 },
        window: { from: AT, to: AT + 120_000 },
        oneOf: 1,
        because: '',
        says: 'pass: bad requests 0.00 % (limit 1.0 %, n = 1931, 95 %: 0.00 % to 0.20 %, 120 s)',
      },
    ],
  });
  agent.on(
    'GET /v1/apps/shop/deployments/57',
    replies({ app: 'shop', deployment: 57, phase: null, outcome: 'succeeded', receipt: judged }),
  );
  const { stdout } = await run('why', '57');
  expect(stdout).toContain(`
  sequential    pass: bad requests 0.00 % (limit 1.0 %, n = 1931, 95 %: 0.00 %
                to 0.20 %, 120 s)
`);
  expect(tooWide(stdout)).toEqual([]);
  expect(JSON.parse((await run('why', '57', '--json')).stdout)).toEqual(judged);
});

test('why without a number takes the last deployment that ended', async () => {
  agent.on(
    'GET /v1/events',
    streams([
      ...storyOf(receipt({ deployment: 56 })),
      ...storyOf(receipt({ deployment: 57 }), 301),
      ...storyOf(receipt({ deployment: 58 }), 401).slice(0, 3),
    ]),
  );
  expect((await run('why')).stdout).toContain('shop #57  r42-ab12cd3  succeeded');
  agent.on('GET /v1/events', streams([]));
  expect(await run('why')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('no deployment of shop has ended yet'),
  });
});

test('config check lists every problem with its place, or says what the file means', async () => {
  const good = join(folder.path, 'good.yaml');
  await writeFile(good, 'app: shop\nprocesses: { web: { run: node server.js, instances: 2 } }\n');
  const fine = await run('config', 'check', 'good.yaml');
  expect(fine.code).toBe(0);
  expect(fine.stdout).toMatchInlineSnapshot(`
    "good.yaml: no problems, app shop
      routes        *
      start         web ×2
      probe         web GET / within 30.0s
      bake          2m00s
      warm          old release for 10m00s
      drain         WebSockets 10m00s, then 50/s closed
      keep          5 releases
    "
  `);
  await writeFile(
    join(folder.path, 'bad.yaml'),
    'app: shop\nprocesses:\n  web:\n    run: node server.js\n    instances: two\n    heatlh: /\n',
  );
  const bad = await run('config', 'check', 'bad.yaml');
  expect(bad.code).toBe(10);
  expect(bad.stderr).toContain('bad.yaml has 2 problems');
  expect(bad.stderr).toContain('bad.yaml:5:');
  expect(bad.stderr).toContain('bad.yaml:6:5');
  expect(tooWide(bad.stderr)).toEqual([]);
  expect((await run('config', 'check', 'none.yaml')).code).toBe(10);
});

test('colour marks state on request only, and NO_COLOR and --no-color win', async () => {
  const coloured = await cli(['status'], { socket: agent.socket, env: { FORCE_COLOR: '1' } });
  expect(coloured.stdout).toContain(`\u001b[32m${R42}`);
  const without = [
    await cli(['status'], { socket: agent.socket }),
    await cli(['status'], { socket: agent.socket, env: { FORCE_COLOR: '1', NO_COLOR: '1' } }),
    await cli(['status', '--no-color'], { socket: agent.socket, env: { FORCE_COLOR: '1' } }),
  ];
  for (const { stdout } of without) expect(stdout).not.toContain('\u001b');
});

test('a bug of ours is exit 1, with a stack only under ZDD_DEBUG=1', async () => {
  agent.on('GET /v1/doctor', (_request, response) =>
    json(response, 500, {
      error: { code: 'ZDD_BUG', message: 'x is not a function', evidence: [], tries: [] },
    }),
  );
  const quiet = await run('doctor');
  expect(quiet).toMatchObject({ code: 1, stderr: expect.stringContaining('ZDD_BUG') });
  expect(quiet.stderr).not.toContain('    at ');
  const loud = await cli(['doctor'], { socket: agent.socket, env: { ZDD_DEBUG: '1' } });
  expect(loud.stderr).toMatch(/ {4}at .*connect\/http\//);
});

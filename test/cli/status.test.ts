import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { cli, temporaryFolder, tooWide } from './run-cli.ts';
import { ago, app, instance, R41, R42, statusReplyOf } from './samples.ts';
import { refuses, replies, type StandIn, standIn } from './stand-in.ts';

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

test('status shows apps, what runs now and what needs attention, within 80 columns', async () => {
  const shop = app({
    since: ago(7_800_000),
    deployment: {
      id: 58,
      phase: 'baking',
      owner: 'deploy@laptop',
      startedAt: ago(180_000),
      release: 'r43-77e0d1a',
    },
  });
  shop.generations.push({
    release: R41,
    deployment: 56,
    role: 'warm',
    traffic: 0,
    warmUntil: Date.now() + 390_000,
    requests: 0,
    websockets: 1_212,
    instances: [],
  });
  const queue = app({ app: 'queue', live: 'r7-0c1d2e3', since: ago(1_036_800_000), routes: [] });
  queue.generations = [
    {
      release: 'r7-0c1d2e3',
      deployment: 9,
      role: 'stable',
      traffic: null,
      warmUntil: null,
      requests: null,
      websockets: null,
      instances: [{ ...instance('worker', 1), state: 'backing_off', pid: null, restarts: 4 }],
    },
  ];
  agent.on(
    'GET /v1/status',
    replies(
      statusReplyOf(
        [shop, queue, app({ app: 'new', live: null, since: null, generations: [] })],
        [
          {
            level: 'warning',
            code: 'drift',
            what: 'haproxy.cfg was edited inside the managed region at 16:02',
            tries: ['zdd-agent doctor'],
          },
        ],
      ),
    ),
  );
  const { code, stdout, stderr } = await run('status');
  expect(stderr).toBe('');
  expect(code).toBe(0);
  expect(stdout).toMatchInlineSnapshot(`
    "agent 0.1.0, 3 apps

    app     live          traffic   instances             since    warm
    shop    r42-ab12cd3   100 %     web 2/2, worker 1/1   2h 10m   r41 (6m)
    queue   r7-0c1d2e3    –         worker 0/1            12d      –
    new     –             –         –                     –        –

    deploying
      shop #58 r43-77e0d1a baking, 3m, by deploy@laptop

    leaving
      shop r41-0c1d2e3 warm: 0 requests, 1,212 WebSockets

    restarting
      queue r42-d57-worker-1 is down, restarted 4 times

    attention
      haproxy.cfg was edited inside the managed region at 16:02
      Try: zdd-agent doctor
    "
  `);
  expect(tooWide(stdout)).toEqual([]);
});

test('status says what is stopped, what is scaled, and what a deployment is for', async () => {
  const scaled = [
    { process: 'web', instances: 3, configured: 2 },
    { process: 'mailer', instances: 1, configured: null },
  ];
  const deployment = {
    id: 58,
    kind: 'stop' as const,
    phase: 'draining' as const,
    owner: 'deploy@laptop',
    startedAt: ago(480_000),
    release: null,
  };
  const resting = app({
    app: 'queue',
    live: null,
    since: ago(180_000),
    stopped: { release: 'r7-0c1d2e3', owner: 'ops@laptop', at: ago(180_000) },
    generations: [],
  });
  const shop = app({ since: ago(7_800_000), deployment, scaled });
  agent.on('GET /v1/status', replies(statusReplyOf([shop, resting])));
  const { stdout } = await run('status');
  expect(stdout).toMatchInlineSnapshot(`
    "agent 0.1.0, 2 apps

    app     live          traffic   instances             since    warm
    shop    r42-ab12cd3   100 %     web 2/2, worker 1/1   2h 10m   –
    queue   r7-0c1d2e3    stopped   –                     3m       –

    deploying
      shop #58 stop draining, 8m, by deploy@laptop

    scaled
      shop web=3, zdd.yaml says 2
      shop mailer=1, zdd.yaml has none

    stopped
      queue by ops@laptop, 3m ago. Try: zdd-agent start --app queue
    "
  `);
  expect(tooWide(stdout)).toEqual([]);
});

test('status of a host without apps says what to type', async () => {
  agent.on('GET /v1/status', replies(statusReplyOf([])));
  expect((await run('status')).stdout).toContain('no app yet. Try: zdd-agent push');
});

test('status --json is one JSON value with a schema version', async () => {
  const { stdout, stderr } = await run('status', '--json');
  expect(stderr).toBe('');
  expect(JSON.parse(stdout)).toEqual({ ...statusReplyOf([app()]), cli: expect.any(String) });
});

test('status of one app asks for that app, and an unknown one is an error', async () => {
  agent.on('GET /v1/apps/shop', replies(app()));
  agent.on('GET /v1/apps/nope', refuses(404, 'ZDD_APP_UNKNOWN', 'there is no app nope here'));
  expect((await run('status', 'shop')).stdout).toContain(R42);
  const unknown = await run('status', 'nope', '--json');
  expect(unknown.code).toBe(2);
  expect(JSON.parse(unknown.stdout)).toMatchObject({ error: { code: 'ZDD_APP_UNKNOWN' } });
});

import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Receipt } from '../../agent/protocol/events.ts';
import { openProject, type Project } from './project.ts';
import { cli, tooWide } from './run-cli.ts';
import { busy, failedReceipt, PROBE_TIMEOUT, R41, R42, receipt, storyOf } from './samples.ts';
import { json, readJson, replies, type StandIn, streams } from './stand-in.ts';

let folder: Project['folder'];
let project: string;
let agent: StandIn;
let asked: unknown;

beforeEach(async () => {
  ({ folder, project, agent } = await openProject());
  asked = undefined;
});
afterEach(async () => {
  await agent.close();
  await folder.remove();
});

function ends(end: Receipt): void {
  agent.on('GET /v1/events', streams(storyOf(end)));
}

test.each([
  ['rollback', [], { result: 'started', deployment: 58 }, {}],
  ['rollback', ['r41'], { result: 'started', deployment: 58 }, { release: 'r41' }],
  ['promote', [], { result: 'promoting', deployment: 58 }, {}],
  ['restart', [], { result: 'started', deployment: 58 }, {}],
  ['restart', ['worker'], { result: 'started', deployment: 58 }, { processes: ['worker'] }],
  ['restart', ['--bake', '2m'], { result: 'started', deployment: 58 }, { bakeMs: 120_000 }],
  [
    'scale',
    ['web=3', 'worker=default', '--probe-timeout', '9s'],
    { result: 'started', deployment: 58 },
    { processes: { web: 3, worker: null }, probeTimeoutMs: 9_000 },
  ],
  ['start', [], { result: 'already_starting', deployment: 58 }, {}],
])('%s %j asks the agent and watches to the end', async (verb, args, reply, body) => {
  agent.on(`POST /v1/apps/shop/${verb}`, async (request, response) => {
    asked = await readJson(request);
    json(response, 202, { app: 'shop', since: 100, ...reply });
  });
  ends(receipt({ deployment: 58, kind: verb === 'rollback' ? 'rollback' : 'deploy' }));
  const ran = await cli([verb, ...args], { cwd: project, socket: agent.socket });
  expect(ran.code).toBe(0);
  expect(ran.stdout).toContain('live: ');
  expect(asked).toEqual({ owner: expect.stringContaining('@'), ...body });
});

test('a rollback or abort of a running deployment is a success for the one who asked for it', async () => {
  for (const [verb, outcome, code] of [
    ['rollback', 'rolled_back', 'ZDD_ROLLED_BACK'],
    ['abort', 'aborted', 'ZDD_ABORTED'],
  ] as const) {
    const result = verb === 'rollback' ? 'rolling_back' : 'aborting';
    agent.on(
      `POST /v1/apps/shop/${verb}`,
      replies({ app: 'shop', deployment: 57, result, since: 100 }, 202),
    );
    const error = { code, message: 'by command', evidence: [], tries: [] };
    ends(failedReceipt('baking', error, { outcome }));
    const ran = await cli([verb], { cwd: project, socket: agent.socket });
    expect(ran.code).toBe(0);
    expect(ran.stdout).toContain(`live: ${R41}`);
    // Anything else that ended it is not what was asked for.
    ends(failedReceipt('baking', { ...error, code: 'ZDD_GATE_FAILED' }, { outcome }));
    expect((await cli([verb], { cwd: project, socket: agent.socket })).code).toBe(21);
  }
});

test('stop is watched to its end, which says how to come back', async () => {
  agent.on(
    'POST /v1/apps/shop/stop',
    replies({ app: 'shop', deployment: 58, result: 'started', since: 100 }, 202),
  );
  const steps: Receipt['steps'] = [
    { phase: 'closing', ms: 7, summary: 'no new requests: HAProxy answers 503 with Retry-After' },
    { phase: 'draining', ms: 4_200, summary: 'no connections left' },
    { phase: 'stopping', ms: 300, summary: 'web ×2, worker ×1' },
  ];
  ends(receipt({ deployment: 58, kind: 'stop', previous: R42, steps }));
  const ran = await cli(['stop'], { cwd: project, socket: agent.socket });
  expect(ran.code).toBe(0);
  expect(ran.stdout).toMatchInlineSnapshot(`
    "stopped: shop  r42-ab12cd3                                     0 of 2,140 lost
    back: zdd-agent start
    "
  `);
  expect(ran.stderr).toMatchInlineSnapshot(`
    "shop #58

      stop       #58 of r42-ab12cd3
      close      no new requests: HAProxy answers 503 with Retry-After        7 ms
      drain      no connections left                                          4.2s
      stop       web ×2, worker ×1                                            0.3s

    "
  `);
  expect(tooWide(ran.stdout + ran.stderr)).toEqual([]);
});

test.each([
  ['stop', [], 'already_stopped', 'it is stopped already'],
  ['start', [], 'already_started', 'it serves already'],
  ['scale', ['web=2'], 'already_scaled', 'so many instances run already'],
  ['scale', ['web=2'], 'scaled_for_start', 'it will start with these numbers'],
])('%s %j of what is so already (%s) watches nothing', async (verb, args, result, says) => {
  agent.on(
    `POST /v1/apps/shop/${verb}`,
    replies({ app: 'shop', deployment: 0, result, since: 100 }, 202),
  );
  const ran = await cli([verb, ...args], { cwd: project, socket: agent.socket });
  expect(ran.code).toBe(0);
  expect(ran.stdout).toContain(says);
  const json = await cli([verb, ...args, '--json'], { cwd: project, socket: agent.socket });
  expect(JSON.parse(json.stdout)).toMatchObject({ result });
});

test('a rollback to what serves already says so', async () => {
  agent.on(
    'POST /v1/apps/shop/rollback',
    replies({ app: 'shop', deployment: 0, result: 'already_live', since: 100 }, 202),
  );
  const ran = await cli(['rollback'], { cwd: project, socket: agent.socket });
  expect(ran).toMatchObject({ code: 0, stdout: 'shop: that release is live already\n' });
});

test('attach follows a running deployment from its beginning, with its exit code', async () => {
  agent.on('GET /v1/apps/shop', replies(busy()));
  agent.on(
    'GET /v1/apps/shop/deployments/56',
    replies({ app: 'shop', deployment: 56, phase: 'baking', outcome: null, receipt: null }),
  );
  ends(
    failedReceipt(
      'baking',
      { ...PROBE_TIMEOUT, code: 'ZDD_GATE_FAILED' },
      { deployment: 56, outcome: 'rolled_back' },
    ),
  );
  const ran = await cli(['attach'], { cwd: project, socket: agent.socket });
  expect(ran.code).toBe(21);
  expect(ran.stderr).toContain('  receive    12.0 kB');
  expect(agent.requests).toContain('GET /v1/events?app=shop&deployment=56&since=0&follow=1');
});

test('attach to a deployment that has ended shows its story from the receipt', async () => {
  agent.on(
    'GET /v1/apps/shop/deployments/57',
    replies({ app: 'shop', deployment: 57, phase: null, outcome: 'succeeded', receipt: receipt() }),
  );
  const ran = await cli(['attach', '57'], { cwd: project, socket: agent.socket });
  expect(ran.code).toBe(0);
  expect(ran.stderr).toContain('  smoke      5 of 5 passed');
  expect(ran.stdout).toContain('live: ');
});

test('attach where nothing runs says so', async () => {
  const ran = await cli(['attach'], { cwd: project, socket: agent.socket });
  expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining('ZDD_NOTHING_RUNNING') });
});

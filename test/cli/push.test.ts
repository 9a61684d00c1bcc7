import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ErrorBody } from '../../agent/protocol/errors.ts';
import type { Receipt } from '../../agent/protocol/events.ts';
import type { PhaseName } from '../../agent/protocol/phase.ts';
import { openProject, type Project } from './project.ts';
import { cli, startCli, tooWide } from './run-cli.ts';
import {
  AT,
  app,
  busy,
  failedReceipt,
  PROBE_TIMEOUT,
  R41,
  R42,
  receipt,
  stamp,
  storyOf,
  ZDD_YAML,
} from './samples.ts';
import { json, readJson, refuses, replies, type StandIn, streams } from './stand-in.ts';
import { onTerminal } from './terminal.ts';

let folder: Project['folder'];
let project: string;
let agent: StandIn;
let asked: unknown;

beforeEach(async () => {
  ({ folder, project, agent } = await openProject());
  asked = undefined;
  agent.on('POST /v1/deployments', async (request, response) => {
    asked = await readJson(request);
    json(response, 202, { app: 'shop', deployment: 57, result: 'started', since: 100 });
  });
});
afterEach(async () => {
  await agent.close();
  await folder.remove();
});

/** A relative socket, so that what is printed is the same everywhere. */
const run = (...args: string[]) =>
  cli(['push', ...args], { cwd: project, socket: '../agent.sock' });

/** What the CLI measures itself takes a different time each run. */
function timeless(text: string): string {
  return text.replaceAll(/^( {2}(?:pack|check|send|wait) .*?) +\d+(\.\d+)?( ms|s)$/gm, '$1  TIME');
}

function ends(end: Receipt): void {
  agent.on('GET /v1/events', streams(storyOf(end)));
}

test('a push prints a line for each phase and then what is live and the way back', async () => {
  const warm = app();
  warm.generations.push({
    release: R41,
    deployment: 56,
    role: 'warm',
    traffic: 0,
    warmUntil: AT + 622_000,
    requests: 0,
    websockets: 0,
    instances: [],
  });
  agent.on('GET /v1/apps/shop', replies(warm));
  ends(receipt());
  const { code, stdout, stderr } = await run();
  expect(timeless(stderr)).toMatchInlineSnapshot(`
    "shop → ../agent.sock                                                   from ./

      pack       2 files, 204 B  TIME
      send       264 B sent  TIME
      deploy     #57 over r41-0c1d2e3
      unpack     r42-ab12cd3: 12 files                                        0.2s
      release    npm run migrate                                              1.1s
      start      web ×2, worker ×1                                            0.9s
      probe      web.1 200 in 12 ms, web.2 200 in 11 ms                       0.6s
      smoke      5 of 5 passed                                                0.3s
      admit      HAProxy reaches web.1, web.2                                12 ms
      switch     all new requests on r42-ab12cd3                              7 ms
      bake       2m00s: 1,931 requests, 0.00 % errors                        2m00s
      promote    r42-ab12cd3 is stable                                       40 ms

    "
  `);
  expect(stdout).toMatchInlineSnapshot(`
    "live: shop.example.com  r42-ab12cd3              3.2s to live, 0 of 2,140 lost
    back: zdd-agent rollback                      instant until 18:40, r41 is warm
    "
  `);
  expect(code).toBe(0);
  expect(tooWide(stdout + stderr)).toEqual([]);
  expect(agent.requests).toEqual([
    'GET /v1/apps/shop',
    'GET /v1/version',
    'POST /v1/artifacts',
    'POST /v1/deployments',
    'GET /v1/events?app=shop&deployment=57&since=100&follow=1',
    'GET /v1/apps/shop',
  ]);
});

test('what is sent is announced by length and digest, and asked for by digest, owner and origin', async () => {
  ends(receipt());
  await run('--bake', '30s', '--probe-timeout', '1m30s');
  const headers = agent.headers.get('/v1/artifacts');
  const body = agent.bodies.get('/v1/artifacts');
  expect(headers?.['content-length']).toBe(String(body?.length));
  expect(asked).toEqual({
    artifact: headers?.['x-zdd-sha256'],
    owner: expect.stringMatching(/^.+@.+$/),
    source: './',
    receiveMs: expect.any(Number),
    bakeMs: 30_000,
    probeTimeoutMs: 90_000,
  });
});

test('the origin of a git checkout is its commit and whether it is clean', async () => {
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], {
      cwd: project,
    });
  git('init', '-q');
  git('add', '.');
  git('commit', '-qm', 'first');
  ends(receipt());
  await run();
  expect(asked).toMatchObject({
    source: expect.stringMatching(/^\.\/ \(git [0-9a-f]{7}, clean\)$/),
  });
  await writeFile(join(project, 'new.txt'), 'new');
  await run();
  expect(asked).toMatchObject({ source: expect.stringContaining(', with changes)') });
});

test('a first deploy goes ahead where the app is not known yet', async () => {
  agent.on('GET /v1/apps/shop', (request, response, url) =>
    (asked ? replies(app()) : refuses(404, 'ZDD_APP_UNKNOWN', 'no app shop'))(
      request,
      response,
      url,
    ),
  );
  ends(receipt({ previous: null }));
  const { code, stdout, stderr } = await run();
  expect(code).toBe(0);
  expect(stderr).toContain('#57, the first of this app');
  expect(stdout).toMatch(
    /^live: shop\.example\.com {2}r42-ab12cd3 +3\.2s to live, 0 of 2,140 lost\n$/,
  );
  expect(stdout).not.toContain('back:');
});

test('--json prints one event a line and the receipt last, and nothing else anywhere', async () => {
  ends(receipt());
  const { code, stdout, stderr } = await run('--json');
  expect(code).toBe(0);
  expect(stderr).toBe('');
  const lines = stdout
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  expect(lines.at(-1)).toEqual(receipt());
  expect(lines.slice(0, -1)).toEqual(storyOf(receipt()));
});

test('--quiet leaves the result', async () => {
  ends(receipt());
  const { stdout, stderr } = await run('--quiet');
  expect(stderr).toBe('');
  expect(stdout).toContain('live: ');
});

test('a release that does not start is said with its evidence, where traffic is and what to type', async () => {
  ends(failedReceipt('probing', PROBE_TIMEOUT));
  const { code, stdout, stderr } = await run();
  expect(code).toBe(20);
  expect(stdout).toBe('');
  expect(timeless(stderr)).toMatchInlineSnapshot(`
    "shop → ../agent.sock                                                   from ./

      pack       2 files, 204 B  TIME
      send       264 B sent  TIME
      deploy     #57 over r41-0c1d2e3
      unpack     r42-ab12cd3: 12 files                                        0.2s
      release    npm run migrate                                              1.1s
      start      web ×2, worker ×1                                            0.9s
      probe      did not finish                                               1.0s

    Error: the new release never became healthy                  ZDD_PROBE_TIMEOUT
      last answer   503 from GET /healthz in 4 ms: {"db":"connect ECONNREFUSED"}
      last output   18:32:07 Error: connect ECONNREFUSED 127.0.0.1:5432
                    18:32:07     at TCPConnectWrap.afterConnect (node:net:1611)
      traffic       untouched: 100 % on r41-0c1d2e3, 0 requests lost
    Try: zdd-agent logs --release r42 --since 2m
         zdd-agent push --probe-timeout 90s
    "
  `);
  expect(tooWide(stderr)).toEqual([]);
});

test('twenty last lines of an instance are shown whole, within 80 columns', async () => {
  const output = Array.from({ length: 20 }, (_, number) =>
    `18:32:${10 + number} line ${number} ${'with words that go on and on '.repeat(number % 4)}`.trim(),
  );
  ends(
    failedReceipt('probing', {
      ...PROBE_TIMEOUT,
      evidence: [['last output', output.join('\n')]],
    }),
  );
  const { stderr } = await run();
  expect(tooWide(stderr)).toEqual([]);
  const words = stderr.replaceAll(/\s+/g, ' ');
  for (const line of output) expect(words).toContain(line);
});

test('where traffic is and what old releases hold stands beside what the step says', async () => {
  const told = { app: 'shop', deployment: 57 } as const;
  const news = stamp(
    [
      { ...told, type: 'phase_changed', from: 'switching', to: 'baking' },
      { ...told, type: 'traffic_moved', shares: { [R42]: 5, [R41]: 95 }, ms: 7, reloaded: false },
      {
        ...told,
        type: 'draining',
        release: 'r40-9f9f9f9',
        requests: 1,
        websockets: 212,
        closingFrom: 0,
      },
      { ...told, type: 'progress', phase: 'baking', message: '412 requests' },
    ],
    101,
  );
  agent.on('GET /v1/events', streams(news));
  const push = onTerminal(['push'], { cwd: project, socket: agent.socket });
  await push.says('412 requests   r42 5 %, r41 95 %   r40: 1 request');
  push.child.kill('SIGKILL');
});

test('a failed push with --json has its receipt last on stdout and its error on stderr', async () => {
  const end = failedReceipt('probing', PROBE_TIMEOUT);
  ends(end);
  const { code, stdout, stderr } = await run('--json');
  expect(code).toBe(20);
  expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toEqual(end);
  expect(stderr).toContain('ZDD_PROBE_TIMEOUT');
});

test.each<[number, PhaseName, Receipt['outcome'], ErrorBody['code'] | null]>([
  [10, 'unpacking', 'failed', 'ZDD_ARTIFACT_UNSAFE'],
  [20, 'releasing', 'failed', 'ZDD_RELEASE_COMMAND_FAILED'],
  [20, 'probing', 'aborted', 'ZDD_ABORTED'],
  [20, 'probing', 'failed', 'ZDD_HAPROXY_DOWN'],
  [21, 'baking', 'rolled_back', 'ZDD_GATE_FAILED'],
  [21, 'baking', 'rolled_back', 'ZDD_INSTANCE_CRASHED'],
  [21, 'baking', 'rolled_back', 'ZDD_ROLLED_BACK'],
  [22, 'switching', 'failed', 'ZDD_NEEDS_HUMAN'],
  [20, 'probing', 'aborted', null],
  [21, 'baking', 'rolled_back', null],
])('exit %i for a deployment that ends %s, %s by %s', async (exit, phase, outcome, code) => {
  const error = code && { code, message: 'it went wrong', evidence: [], tries: [] };
  const end = failedReceipt(phase, error ?? PROBE_TIMEOUT, { outcome, error });
  ends(end);
  const ran = await run();
  expect(ran.code).toBe(exit);
  expect(ran.stderr).toContain('traffic       ');
  expect(ran.stderr).toContain(outcome === 'rolled_back' ? 'moved back' : 'untouched');
});

test('what cannot be put together from what the host had is sent whole, as a deployment of its own', async () => {
  const began: unknown[] = [];
  agent.on('POST /v1/deployments', async (request, response) => {
    began.push(await readJson(request));
    json(response, 202, {
      app: 'shop',
      deployment: 56 + began.length,
      result: 'started',
      since: 100,
    });
  });
  const error = {
    code: 'ZDD_ARTIFACT_DIGEST',
    message: 'a file of an earlier release was changed on the host',
    evidence: [],
    tries: ['zdd-agent push --whole'],
  } as const;
  const failed = failedReceipt('unpacking', { ...error, evidence: [], tries: [...error.tries] });
  const story = [...storyOf(failed), ...storyOf(receipt({ deployment: 58 }), 201)];
  agent.on('GET /v1/events', streams(story));
  const { code, stdout, stderr } = await run();
  expect(stderr.split('\n').filter((line) => line.startsWith('  !'))).toEqual([
    '  ! unpack: what the host had was changed or has gone; all of it is sent',
  ]);
  expect(stdout).toContain(`live: shop.example.com  ${R42}`);
  expect(code).toBe(0);
  expect(began).toHaveLength(2);
  // Where nothing was counted on, another try would be no better.
  began.length = 0;
  const whole = await run('--whole');
  expect(whole.stderr).toContain('ZDD_ARTIFACT_DIGEST');
  expect(whole.code).toBe(10);
  expect(began).toHaveLength(1);
});

test('a push while another one runs is refused before anything is packed or sent', async () => {
  agent.on('GET /v1/apps/shop', replies(busy()));
  const { code, stderr } = await run();
  expect(code).toBe(12);
  expect(stderr.replace(/\d+s ago/, '40s ago')).toMatchInlineSnapshot(`
    "shop → ../agent.sock                                                   from ./

    Error: shop is being deployed by deploy@laptop (#56, baking, 40s ago)
                                                                        ZDD_LOCKED
    Try: zdd-agent attach 56
         zdd-agent push --wait
    "
  `);
  expect(agent.requests).toEqual(['GET /v1/apps/shop']);
});

test('--wait queues until the other deployment has ended, also when somebody else is faster', async () => {
  let looks = 0;
  agent.on('GET /v1/apps/shop', (_request, response) => {
    looks += 1;
    json(response, 200, looks === 2 || looks === 4 ? busy() : app());
  });
  let starts = 0;
  agent.on('POST /v1/deployments', (request, response, url) => {
    starts += 1;
    if (starts === 1)
      return refuses(409, 'ZDD_LOCKED', 'somebody was faster')(request, response, url);
    json(response, 202, { app: 'shop', deployment: 57, result: 'started', since: 100 });
  });
  ends(receipt());
  const { code, stderr } = await run('--wait');
  expect(code).toBe(0);
  // A look before each start: the agent is not asked to look into the artifact over and over.
  const look = 'GET /v1/apps/shop';
  const start = 'POST /v1/deployments';
  expect(agent.requests.filter((line) => line === look || line === start)).toEqual([
    look,
    look,
    look,
    start,
    look,
    look,
    start,
    look,
  ]);
  expect(stderr).toContain('the other deployment has ended');
});

test('--wait with a time gives up after it', async () => {
  agent.on('GET /v1/apps/shop', replies(busy()));
  agent.on('POST /v1/deployments', refuses(409, 'ZDD_LOCKED', 'shop is being deployed by deploy'));
  const { code, stderr } = await run('--wait=200ms');
  expect(code).toBe(12);
  expect(stderr).toContain('shop is being deployed by deploy');
  expect(stderr).toContain('waited        0.2s');
});

test('--detach returns once it has started and says how to attach', async () => {
  const { code, stdout, stderr } = await run('--detach');
  expect(code).toBe(0);
  expect(stdout).toBe('started: shop #57\n');
  expect(stderr).toContain('Try: zdd-agent attach 57\n');
  expect(agent.requests.some((line) => line.includes('/v1/events'))).toBe(false);
  expect(JSON.parse((await run('--detach', '--json')).stdout)).toMatchObject({ deployment: 57 });
});

test('--dry-run packs, shows the plan and sends nothing', async () => {
  const { code, stdout } = await run('--dry-run', '--bake', '30s');
  expect(code).toBe(0);
  expect(stdout.replace(/[0-9a-f]{64}/, 'SHA256')).toMatchInlineSnapshot(`
    "shop: nothing was sent
      would send    2 files, 204 B
      sha256        SHA256
      now           live r42-ab12cd3
      routes        shop.example.com
      release       npm run migrate
      start         web ×2, worker ×1 (after the old)
      probe         web GET /healthz within 30.0s
      bake          30.0s
      warm          old release for 10m00s
      drain         WebSockets 10m00s, then 50/s closed
      keep          5 releases
    "
  `);
  expect(agent.requests.filter((line) => line.startsWith('POST'))).toEqual([]);
  const { stdout: value } = await run('--dry-run', '--json');
  expect(JSON.parse(value)).toMatchObject({ dryRun: true, app: 'shop', config: { app: 'shop' } });
});

test('--dry-run plans with the strategy that the flag says', async () => {
  const { stdout } = await run('--dry-run', '--strategy', '[weight: 5%, hold: 2m]');
  expect(stdout).toMatch(/canary +5 %, hold 2m00s/);
  const rolled = await run('--dry-run', '--strategy', 'rolling');
  expect(rolled.stdout).toMatch(/roll +instance by instance, at most 1 more/);
});

test('a strategy that is none is refused before anything is asked or sent', async () => {
  const { code, stderr } = await run('--strategy', '[weight: lots]');
  expect(code).toBe(10);
  expect(stderr).toContain('ZDD_CONFIG_INVALID');
  expect(stderr).toContain('--strategy is none');
  expect(agent.requests).toEqual([]);
});

test('--dry-run tells of numbers that hold on the host, and that a stopped app would start', async () => {
  const scaled = [{ process: 'web', instances: 3, configured: 2 }];
  const stopped = { release: R42, owner: 'ops@laptop', at: AT };
  agent.on('GET /v1/apps/shop', replies(app({ live: null, stopped, scaled })));
  const { stdout } = await run('--dry-run');
  expect(stdout).toContain(`now           stopped ${R42}; this would start it`);
  expect(stdout).toContain('web ×3 (scaled), worker ×1');
});

test('--dry-run shows what it can where no agent answers', async () => {
  const { code, stdout } = await cli(['push', '--dry-run'], {
    cwd: project,
    socket: '../none.sock',
  });
  expect(code).toBe(0);
  expect(stdout).toContain('unknown: there is no agent here');
});

test('a ready tarball is sent as it is, its app told by the agent', async () => {
  const tarball = join(folder.path, 'shop.tar.gz');
  execFileSync('tar', ['-czf', tarball, '-C', project, '.']);
  ends(receipt());
  const { code, stderr } = await run('../shop.tar.gz');
  expect(code).toBe(0);
  expect(stderr).toContain('../shop.tar.gz → ../agent.sock');
  expect(agent.requests[0]).toBe('GET /v1/status');
  const sent = agent.bodies.get('/v1/artifacts');
  expect(sent?.equals(await readFile(tarball))).toBe(true);
});

test('an archive that the agent refuses while it is still being sent is refused in the agent’s words', async () => {
  const tarball = join(folder.path, 'huge.tar');
  await writeFile(tarball, Buffer.alloc(8 * 1024 * 1024, 1));
  agent.on('POST /v1/artifacts', refuses(400, 'ZDD_ARTIFACT_TOO_LARGE', 'the limit is 1 MB'));
  const { code, stderr } = await run('../huge.tar', '--app', 'shop');
  expect(stderr).toContain('the limit is 1 MB');
  expect(code).toBe(10);
});

test('zdd.yaml is checked with all its problems before anything is asked or sent', async () => {
  await writeFile(
    join(project, 'zdd.yaml'),
    'app: shop\nprocesses:\n  web:\n    run: node server.js\n    instances: two\n    heatlh: /\n',
  );
  const { code, stderr } = await run('--json');
  expect(code).toBe(10);
  expect(stderr).toContain('zdd.yaml has 2 problems');
  expect(stderr).toContain('zdd.yaml:5:');
  expect(stderr).toContain('zdd.yaml:6:');
  expect(agent.requests).toEqual([]);
});

test('a folder without zdd.yaml is refused with the nearest one above, or the misnamed one', async () => {
  await mkdir(join(project, 'src'));
  const below = await cli(['push'], { cwd: join(project, 'src'), socket: agent.socket });
  expect(below.code).toBe(10);
  expect(below.stderr).toContain('ZDD_CONFIG_MISSING');
  expect(below.stderr).toContain('Try: zdd-agent push ..\n');
  await writeFile(join(project, 'src', 'zdd.yml'), ZDD_YAML);
  const misnamed = await cli(['push'], { cwd: join(project, 'src'), socket: agent.socket });
  expect(misnamed.stderr).toContain('Try: mv zdd.yml zdd.yaml\n');
});

test('--app that contradicts zdd.yaml is refused', async () => {
  expect(await run('--app', 'blog')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('zdd.yaml says app shop, --app says blog'),
  });
});

test('commands to type name the app where the folder does not tell it', async () => {
  const { stderr } = await cli(['push', 'project', '--detach'], {
    cwd: folder.path,
    socket: 'agent.sock',
  });
  expect(stderr).toContain('Try: zdd-agent attach 57 --app shop\n');
});

test('instances that die and a daemon that recovers are shown while it is watched', async () => {
  const story = storyOf(receipt());
  const end = story.pop();
  const news = stamp(
    [
      {
        type: 'instance_exited',
        app: 'shop',
        deployment: 57,
        slot: 'r42-d57-web-1',
        release: R42,
        reason: 'exit code 1',
        restartInMs: 1_000,
      },
      {
        type: 'recovered',
        app: 'shop',
        deployment: 57,
        decision: 'finish',
        reason: 'traffic had moved',
      },
    ],
    201,
  );
  if (!end) throw new Error('a story has an end');
  agent.on('GET /v1/events', streams([...story, ...news, { ...end, seq: 301 }]));
  const { stderr } = await run();
  expect(stderr).toContain('  ! r42-d57-web-1 ended: exit code 1\n');
  expect(stderr).toContain('  recover    finish: traffic had moved\n');
});

test('the packed file is gone after a push, whatever became of it', async () => {
  const temporary = join(folder.path, 'tmp');
  await mkdir(temporary);
  const env = { TMPDIR: temporary };
  ends(receipt());
  await cli(['push'], { cwd: project, socket: agent.socket, env });
  expect(await readdir(temporary)).toEqual([]);
  agent.on('POST /v1/artifacts', refuses(507, 'ZDD_DISK_FULL', 'no space'));
  expect((await cli(['push'], { cwd: project, socket: agent.socket, env })).code).toBe(20);
  expect(await readdir(temporary)).toEqual([]);
  agent.on('POST /v1/artifacts', () => {});
  const hanging = startCli(['push'], { cwd: project, socket: agent.socket, env });
  await hanging.says('pack');
  hanging.child.kill('SIGINT');
  expect((await hanging.ended()).code).toBe(130);
  expect(await readdir(temporary)).toEqual([]);
});

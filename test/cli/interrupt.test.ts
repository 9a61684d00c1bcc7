import { spawn } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  CLI,
  environment,
  type Running,
  startCli,
  temporaryFolder,
  until,
  watchChild,
} from './run-cli.ts';
import { app, failedReceipt, R41, receipt, storyOf, ZDD_YAML } from './samples.ts';
import { json, replies, type StandIn, standIn, streams, takesArtifacts } from './stand-in.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let project: string;
let agent: StandIn;
let terminal: Running | null;

beforeEach(async () => {
  folder = await temporaryFolder();
  terminal = null;
  project = join(folder.path, 'project');
  await mkdir(project);
  await writeFile(join(project, 'zdd.yaml'), ZDD_YAML);
  agent = await standIn(join(folder.path, 'agent.sock'));
  agent.on('GET /v1/apps/shop', replies(app()));
  agent.on('POST /v1/artifacts', takesArtifacts(agent));
  agent.on(
    'POST /v1/deployments',
    replies({ app: 'shop', deployment: 57, result: 'started', since: 100 }, 202),
  );
  // Baking, and it goes on baking.
  agent.on('GET /v1/events', streams(storyOf(receipt()).slice(0, 18)));
});
afterEach(async () => {
  terminal?.child.kill('SIGKILL');
  await agent.close();
  await folder.remove();
});

const start = (...args: string[]) => startCli(args, { cwd: project, socket: '../agent.sock' });

test('SIGINT without a terminal detaches: exit 130, the deployment goes on, how to attach', async () => {
  const push = start('push');
  await push.says('all new requests on');
  push.child.kill('SIGINT');
  const { code, stderr } = await push.ended();
  expect(code).toBe(130);
  expect(stderr).toContain('Detached: shop #57 goes on, it belongs to the agent.\n');
  expect(stderr).toContain('Try: zdd-agent attach 57\n');
  expect(agent.requests.some((line) => line.includes('/abort'))).toBe(false);
});

test('SIGTERM and a closed session detach as well', async () => {
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
    const push = start('push');
    await push.says('all new requests on');
    push.child.kill(signal);
    expect((await push.ended()).code).toBe(130);
  }
});

test('with --json the last line of a detached push says so', async () => {
  const push = start('push', '--json');
  await push.says('switching');
  push.child.kill('SIGINT');
  const { stdout } = await push.ended();
  expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toEqual({
    detached: { app: 'shop', deployment: 57 },
  });
});

test('SIGINT while sending ends the push: nothing is deployed', async () => {
  agent.on('POST /v1/artifacts', () => {});
  const push = start('push');
  await push.says('pack');
  await until(
    () => agent.requests.includes('POST /v1/artifacts'),
    () => 'the upload',
  );
  push.child.kill('SIGINT');
  expect((await push.ended()).code).toBe(130);
  expect(agent.requests).not.toContain('POST /v1/deployments');
});

test('SIGINT between asking and the answer waits for it, so that the user learns the number', async () => {
  let answer = () => {};
  agent.on('POST /v1/deployments', (_request, response) => {
    answer = () =>
      json(response, 202, { app: 'shop', deployment: 57, result: 'started', since: 100 });
  });
  const push = start('push');
  await until(
    () => agent.requests.includes('POST /v1/deployments'),
    () => 'the request',
  );
  push.child.kill('SIGINT');
  // Whichever of the two reaches it first, the result is the same.
  answer();
  const { code, stderr } = await push.ended();
  expect(code).toBe(130);
  expect(stderr).toContain('Try: zdd-agent attach 57\n');
});

/** A push on a terminal of its own, by util-linux `script`; its keyboard is our stdin. */
function onTerminal(...words: string[]): Running {
  const line = ['stty cols 80;', ...words].join(' ');
  terminal = watchChild(
    spawn('script', ['-qec', line, '/dev/null'], {
      cwd: project,
      env: { ...environment({ socket: '../agent.sock' }), TERM: 'xterm' },
      stdio: ['pipe', 'pipe', 'pipe'],
    }),
    `on a terminal: ${line}`,
  );
  return terminal;
}

test('on a terminal the current line moves, in colour, and is replaced when its step ends', async () => {
  const push = onTerminal('exec', CLI, 'push');
  await push.says('bake');
  // Painted again and again, on its own line.
  await until(() => push.stdout().split('\r\u001b[2K  bake').length > 3, push.stdout);
  expect(push.stdout()).toContain('\u001b[32mswitch\u001b[39m');
  expect(push.stdout().match(/all new requests on/g)).toHaveLength(1);
});

test('Ctrl-C on a terminal asks; keep goes on, detach leaves', async () => {
  const push = onTerminal('exec', CLI, 'push');
  await push.says('bake');
  push.child.stdin?.write('\u0003');
  await push.says('[k] keep watching');
  push.child.stdin?.write('k');
  const painted = push.stdout().length;
  await until(() => push.stdout().slice(painted).includes('bake'), push.stdout);
  push.child.stdin?.write('\u0003');
  await until(() => push.stdout().split('[k] keep watching').length === 3, push.stdout);
  push.child.stdin?.write('d');
  const { code, stdout } = await push.ended();
  expect(code).toBe(130);
  expect(stdout).toContain('Detached: shop #57 goes on');
  expect(agent.requests.some((line) => line.includes('/abort'))).toBe(false);
});

test('a terminal that is closed asks nobody: the CLI detaches and leaves nothing behind', async () => {
  const temporary = join(folder.path, 'tmp');
  await mkdir(temporary);
  const push = onTerminal('echo pid=$$;', 'TMPDIR=../tmp', 'exec', CLI, 'push');
  await push.says('bake');
  const pid = Number(/pid=(\d+)/.exec(push.stdout())?.[1]);
  process.kill(pid, 'SIGHUP');
  await push.says('Detached: shop #57 goes on');
  await push.ended();
  expect(push.stdout()).not.toContain('[k] keep watching');
  expect(await readdir(temporary)).toEqual([]);
});

test('Ctrl-C twice on a terminal always gets out', async () => {
  const push = onTerminal('exec', CLI, 'push');
  await push.says('bake');
  push.child.stdin?.write('\u0003');
  await push.says('[k] keep watching');
  push.child.stdin?.write('\u0003');
  expect((await push.ended()).code).toBe(130);
});

test('abort asked for on a terminal is sent, and the push ends as it then does', async () => {
  const end = failedReceipt(
    'baking',
    { code: 'ZDD_ABORTED', message: 'aborted by command', evidence: [], tries: [] },
    { outcome: 'aborted' },
  );
  let followers: (() => void)[] = [];
  const story = storyOf(end);
  agent.on('GET /v1/events', (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    for (const each of story.slice(0, -1)) response.write(`${JSON.stringify(each)}\n`);
    followers.push(() => response.write(`${JSON.stringify(story.at(-1))}\n`));
  });
  agent.on('POST /v1/apps/shop/abort', (request, response, url) => {
    replies({ app: 'shop', deployment: 57, result: 'aborting', since: 100 }, 202)(
      request,
      response,
      url,
    );
    for (const tell of followers) tell();
    followers = [];
  });
  const push = onTerminal('exec', CLI, 'push');
  await push.says('bake');
  push.child.stdin?.write('\u0003');
  await push.says('[a] abort');
  push.child.stdin?.write('a');
  const { code, stdout } = await push.ended();
  expect(code).toBe(20);
  expect(stdout).toContain('ZDD_ABORTED');
  expect(stdout).toContain(`100 % on ${R41}`);
});

test('a deployment that ends while the question stands ends the question', async () => {
  let end = () => {};
  const story = storyOf(receipt());
  agent.on('GET /v1/events', (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    for (const each of story.slice(0, 18)) response.write(`${JSON.stringify(each)}\n`);
    end = () => {
      for (const each of story.slice(18)) response.write(`${JSON.stringify(each)}\n`);
    };
  });
  const push = onTerminal('exec', CLI, 'push');
  await push.says('bake');
  push.child.stdin?.write('\u0003');
  await push.says('[k] keep watching');
  end();
  const { code, stdout } = await push.ended();
  expect(code).toBe(0);
  expect(stdout).toContain('live:');
});

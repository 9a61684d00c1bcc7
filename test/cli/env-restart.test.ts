import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CLI, environment, type Ran, temporaryFolder, watchChild } from './run-cli.ts';
import { receipt, storyOf } from './samples.ts';
import { readJson, refuses, replies, type StandIn, standIn, streams } from './stand-in.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let agent: StandIn;
const asked: unknown[] = [];
beforeEach(async () => {
  folder = await temporaryFolder();
  agent = await standIn(join(folder.path, 'agent.sock'));
  asked.length = 0;
});
afterEach(async () => {
  await agent.close();
  await folder.remove();
});

/** `env set TOKEN` with a value on stdin, for an app whose live release lacks it then. */
function set(...flags: string[]): Promise<Ran> {
  agent.on(
    'POST /v1/apps/shop/environment',
    replies({
      app: 'shop',
      set: ['TOKEN'],
      unchanged: [],
      unset: [],
      live: 'r41-77e0d1a',
      pending: true,
    }),
  );
  const child = spawn(CLI, ['env', 'set', 'TOKEN', '--app', 'shop', ...flags], {
    env: environment({ socket: agent.socket }),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.end('value');
  return watchChild(child, 'env set').ended();
}

test('--restart asks the agent for a restart and watches it to its end', async () => {
  const end = receipt({ app: 'shop' });
  agent.on('POST /v1/apps/shop/restart', async (request, response) => {
    asked.push(await readJson(request));
    const { app, deployment } = end;
    replies({ app, deployment, result: 'started', since: 0 })(request, response, new URL('x:'));
  });
  agent.on('GET /v1/events', streams(storyOf(end)));
  const { code, stdout, stderr } = await set('--restart');
  expect(code, stderr).toBe(0);
  expect(asked).toEqual([{ owner: expect.stringContaining('@') }]);
  expect(stdout).toContain('shop: set TOKEN');
  expect(stdout).toContain('lost');
});

test('an agent that cannot restart yet is told apart: the values are kept', async () => {
  agent.on(
    'POST /v1/apps/shop/restart',
    refuses(404, 'ZDD_USAGE', 'there is no POST /v1/apps/shop/restart'),
  );
  const { code, stderr } = await set('--restart');
  expect(code).toBe(11);
  expect(stderr).toContain('ZDD_PROTOCOL_MISMATCH');
  expect(stderr).toContain('the values are kept');
  expect(stderr).toContain('zdd-agent push --app shop');
});

test('without a terminal nothing is asked, and nothing restarted', async () => {
  const { code, stderr } = await set();
  expect(code).toBe(0);
  expect(stderr).toContain('Try: zdd-agent restart --app shop');
  expect(agent.requests.filter((each) => each.includes('restart'))).toEqual([]);
});

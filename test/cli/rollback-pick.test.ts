import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ReleasesReply } from '../../agent/protocol/api.ts';
import { cli, type Running, temporaryFolder, tooWide } from './run-cli.ts';
import { app, R41, R42, receipt, storyOf, ZDD_YAML } from './samples.ts';
import { json, readJson, replies, type StandIn, standIn, streams } from './stand-in.ts';
import { onTerminal } from './terminal.ts';

const R40 = 'r40-9f9f9f9';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let project: string;
let agent: StandIn;
let terminal: Running | null;
let asked: unknown;

beforeEach(async () => {
  folder = await temporaryFolder();
  terminal = null;
  asked = null;
  project = join(folder.path, 'project');
  await mkdir(project);
  await writeFile(join(project, 'zdd.yaml'), ZDD_YAML);
  agent = await standIn(join(folder.path, 'agent.sock'));
  agent.on('GET /v1/apps/shop', replies(app()));
  has([R42, 'live'], ['r39-1111111', 'bad'], [R41, 'warm'], [R40, 'good']);
  agent.on('POST /v1/apps/shop/rollback', async (request, response) => {
    asked = await readJson(request);
    json(response, 202, { app: 'shop', deployment: 58, result: 'started', since: 100 });
  });
  const end = receipt({ deployment: 58, kind: 'rollback' });
  agent.on('GET /v1/events', streams(storyOf(end)));
});
afterEach(async () => {
  terminal?.child.kill('SIGKILL');
  await agent.close();
  await folder.remove();
});

type State = ReleasesReply['releases'][number]['state'];

function has(...releases: [string, State][]): void {
  agent.on(
    'GET /v1/apps/shop/releases',
    replies({
      schemaVersion: 1,
      app: 'shop',
      releases: releases.map(([release, state]) => ({
        release,
        state,
        createdAt: Date.now() - 7_800_000,
        bytes: 1_000,
        files: 3,
        source: './ (git 9f3c1e2, clean) and a text that goes on and on and on',
      })),
    }),
  );
}

function pick(): Running {
  terminal = onTerminal(['rollback', '-i'], { cwd: project, socket: agent.socket });
  return terminal;
}

test.each([
  ['\r', R41],
  ['1\r', R41],
  ['2\r', R40],
  ['r40\r', R40],
])('on a terminal the answer %j goes back to %s', async (typed, release) => {
  const ran = pick();
  await ran.says('back to [1]:');
  ran.child.stdin?.write(typed);
  const { code, stdout } = await ran.ended();
  expect(code).toBe(0);
  expect(asked).toMatchObject({ release });
  expect(stdout).toMatch(/1 {3,}r41-0c1d2e3 +warm +2h/);
  expect(stdout).toMatch(/2 {3,}r40-9f9f9f9 +good/);
  expect(stdout).toMatch(/^ +r42-ab12cd3 +live/m);
  expect(stdout).not.toContain('r39');
  expect(tooWide(stdout.slice(0, stdout.indexOf('back to')).replaceAll('\r', ''))).toEqual([]);
});

test('an answer that fits nothing is asked for again', async () => {
  const ran = pick();
  await ran.says('back to [1]:');
  ran.child.stdin?.write('7\r');
  await ran.says('a number from 1 to 2');
  ran.child.stdin?.write('2\r');
  expect((await ran.ended()).code).toBe(0);
  expect(asked).toMatchObject({ release: R40 });
});

test('Ctrl-C at the question changes nothing', async () => {
  const ran = pick();
  await ran.says('back to [1]:');
  ran.child.stdin?.write('\u0003');
  expect((await ran.ended()).code).toBe(130);
  expect(asked).toBe(null);
});

test('with no good release there is nothing to choose', async () => {
  has([R42, 'live'], ['r39-1111111', 'bad']);
  const { code, stdout } = await pick().ended();
  expect(code).toBe(2);
  expect(stdout).toContain('there is no earlier good release');
});

test('without a terminal nobody is asked', async () => {
  const ran = await cli(['rollback', '-i'], { cwd: project, socket: agent.socket });
  expect(ran.code).toBe(2);
  expect(ran.stderr).toContain('there is no terminal to choose on');
  expect(agent.requests).toEqual([]);
});

test('a release and -i contradict each other', async () => {
  const ran = await cli(['rollback', 'r41', '-i'], { cwd: project, socket: agent.socket });
  expect(ran.code).toBe(2);
  expect(asked).toBe(null);
});

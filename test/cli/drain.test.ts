import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AppStatus, GenerationStatus } from '../../agent/protocol/api.ts';
import { type Drain, drainLine } from '../../cli/watch/drain.ts';
import { cli, type Running, temporaryFolder, until } from './run-cli.ts';
import { AT, app, R41, R42 } from './samples.ts';
import { json, refuses, type StandIn, standIn } from './stand-in.ts';
import { onTerminal } from './terminal.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let agent: StandIn;
let terminal: Running | null = null;

beforeEach(async () => {
  folder = await temporaryFolder();
  agent = await standIn(join(folder.path, 'agent.sock'));
});
afterEach(async () => {
  terminal?.child.kill('SIGKILL');
  await agent.close();
  await folder.remove();
});

/** What each look at the agent finds of the old release, the last one for ever. */
function finds(...olds: (Partial<GenerationStatus> | null)[]): void {
  let looks = 0;
  agent.on('GET /v1/status', (_request, response) => {
    const old = olds[Math.min(looks, olds.length - 1)] ?? null;
    looks += 1;
    json(response, 200, { schemaVersion: 1, agent: '0.1.0', apps: [withOld(old)], attention: [] });
  });
}

function withOld(old: Partial<GenerationStatus> | null): AppStatus {
  const shop = app();
  if (old === null) return shop;
  const generation: GenerationStatus = {
    release: R41,
    deployment: 56,
    role: 'draining',
    traffic: 0,
    warmUntil: null,
    requests: 0,
    websockets: 0,
    instances: [],
    ...old,
  };
  return { ...shop, generations: [...shop.generations, generation] };
}

const paced = (closeFrom: number) => ({
  drain: { closeFrom, requestsUntil: closeFrom, pacePerSecond: 50, reachableByOldWorker: false },
});

const drain = (...args: string[]) => cli(['drain', ...args], { socket: agent.socket });

test('it tells what still uses an old release until nothing does', async () => {
  finds({ websockets: 212, requests: 3, ...paced(0) }, { websockets: 212, ...paced(0) }, null);
  const { code, stdout, stderr } = await drain();
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout.split('\n')).toEqual([
    'shop  r41 → r42    requests 3    WebSockets 212    50/s    about 5s left',
    `shop  ${R41} is gone`,
    'nothing is left to drain',
    '',
  ]);
});

test('a line of JSON for each change, the last one gone', async () => {
  finds({ websockets: 2, ...paced(AT) }, { websockets: 2, ...paced(AT) }, { websockets: 1 }, null);
  const { stdout } = await drain('--json');
  const lines = stdout
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  expect(lines).toMatchObject([
    { app: 'shop', release: R41, to: R42, state: 'draining', websockets: 2, pacePerSecond: 50 },
    { websockets: 1, pacePerSecond: null },
    { state: 'gone', websockets: 0 },
  ]);
});

test('a warm release that nobody uses is not waited for, one that is used is', async () => {
  finds({ role: 'warm', warmUntil: Date.now() + 600_000 });
  expect((await drain()).stdout).toContain('warm for 9m');
  finds({ role: 'warm', websockets: 1, warmUntil: Date.now() + 600_000 }, null);
  expect((await drain()).stdout).toContain('WebSockets 1\n');
});

test('a release that a rollback takes up again serves again', async () => {
  let looks = 0;
  agent.on('GET /v1/status', (_request, response) => {
    looks += 1;
    const shop = withOld({ websockets: 1, ...(looks > 1 ? { role: 'stable' as const } : {}) });
    json(response, 200, { schemaVersion: 1, agent: '0.1.0', apps: [shop], attention: [] });
  });
  expect((await drain()).stdout).toContain(`${R41} serves again`);
});

test('nothing to drain is said at once', async () => {
  finds(null);
  expect(await drain()).toEqual({ code: 0, stdout: 'nothing drains\n', stderr: '' });
});

test('an app that is not there is an error', async () => {
  agent.on('GET /v1/apps/blog', refuses(404, 'ZDD_APP_UNKNOWN', 'no app blog'));
  expect((await drain('blog')).code).toBe(2);
});

test('an agent that restarts meanwhile is waited for', async () => {
  let looks = 0;
  agent.on('GET /v1/status', (_request, response) => {
    looks += 1;
    if (looks === 2) return void response.destroy();
    const apps = [withOld(looks < 3 ? { websockets: 1 } : null)];
    json(response, 200, { schemaVersion: 1, agent: '0.1.0', apps, attention: [] });
  });
  const { code, stdout } = await drain();
  expect(code).toBe(0);
  expect(stdout).toContain('is gone');
});

test('on a terminal one line moves and is taken away at the end', async () => {
  finds({ websockets: 3 }, { websockets: 2 }, { websockets: 1 }, null);
  const ran = onTerminal(['drain'], { socket: agent.socket });
  terminal = ran;
  await until(
    () => ran.stdout().includes('WebSockets 1'),
    () => ran.stdout(),
  );
  const { code, stdout } = await ran.ended();
  expect(code).toBe(0);
  // Up one line and everything below it erased, before each line but the first and at the end.
  expect(stdout.split('\u001b[1A\u001b[0J')).toHaveLength(4);
});

function drained(changes: Partial<Drain>): Drain {
  return {
    schemaVersion: 1,
    app: 'shop',
    release: R41,
    to: R42,
    state: 'draining',
    requests: 0,
    websockets: 0,
    streams: null,
    closeFrom: null,
    pacePerSecond: null,
    warmUntil: null,
    ...changes,
  };
}

test.each([
  [{}, 'shop  r41 → r42    requests 0    WebSockets 0'],
  [
    { websockets: 1_212, streams: 40, closeFrom: AT + 540_000, pacePerSecond: 50 },
    'shop  r41 → r42    requests 0    WebSockets 1,212    streams 40    50/s in 9m    about 9m left',
  ],
  [{ state: 'stopping' as const }, 'shop  r41 → r42    requests 0    WebSockets 0    stopping'],
  [{ requests: null, websockets: null, to: null }, 'shop  r41 → –'],
])('%j is shown as %s', (changes, line) => {
  expect(drainLine(drained(changes), AT)).toBe(line);
});

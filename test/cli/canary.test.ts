import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { NewEvent } from '../../agent/protocol/events.ts';
import { cli, temporaryFolder } from './run-cli.ts';
import { app, R42, receipt, stamp } from './samples.ts';
import { json, readJson, replies, type StandIn, standIn, streams } from './stand-in.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let agent: StandIn;
beforeEach(async () => {
  folder = await temporaryFolder();
  agent = await standIn(join(folder.path, 'agent.sock'));
  agent.on('GET /v1/apps/shop', replies(app()));
});
afterEach(async () => {
  await agent.close();
  await folder.remove();
});

async function run(...args: string[]) {
  return await cli(args, { cwd: folder.path, socket: agent.socket });
}

/** What the CLI asked for. */
function takes(verb: string, result: string): unknown[] {
  const asked: unknown[] = [];
  agent.on(`POST /v1/apps/shop/${verb}`, async (request, response) => {
    asked.push(await readJson(request));
    json(response, 202, { app: 'shop', deployment: 58, since: 100, result });
  });
  return asked;
}

test('pause returns at once; promote --full says so', async () => {
  const paused = takes('pause', 'pausing');
  expect((await run('pause', '--app', 'shop')).stdout).toBe('shop #58: pausing\n');
  expect(paused).toEqual([{ owner: expect.any(String) }]);
  const promoted = takes('promote', 'promoting');
  expect((await run('promote', '--full', '--detach', '--app', 'shop')).code).toBe(0);
  expect(promoted).toEqual([{ owner: expect.any(String), full: true }]);
});

test('a canary is told step by step, with why it pauses', async () => {
  takes('retry', 'started');
  const about = { app: 'shop', deployment: 58 };
  const step = (summary: string): NewEvent => ({
    type: 'step_done',
    ...about,
    step: { phase: 'canary', ms: 1_000, summary },
  });
  const end = receipt({ deployment: 58 });
  const news: NewEvent[] = [
    { type: 'phase_changed', ...about, from: 'admitting', to: 'canary' },
    step(`5 % of the users on ${R42}`),
    { type: 'progress', ...about, phase: 'canary', message: '5 % for 5.0s: 20 requests' },
    { type: 'paused', ...about, by: 'gate', reason: 'inconclusive: bad requests' },
    { type: 'resumed', ...about },
    step('5 % for 2m00s: 412 requests, 0.00 % errors'),
    { type: 'phase_changed', ...about, from: 'canary', to: 'switching' },
    { type: 'deployment_ended', ...about, receipt: { ...end, steps: [] } },
  ];
  agent.on('GET /v1/events', streams(stamp(news)));
  const { code, stderr } = await run('retry', '--app', 'shop');
  expect(code).toBe(0);
  expect(stderr).toMatch(/ {2}canary {5}5 % of the users on r42-ab12cd3 +1\.0s\n/);
  expect(stderr).toContain('  ! paused: inconclusive: bad requests\n');
  expect(stderr).toMatch(/ {2}canary {5}5 % for 2m00s: 412 requests, 0\.00 % errors +1\.0s\n/);
  expect(stderr).not.toContain('did not finish\n');
});

test('status says which step of how many, and what a paused one waits for', async () => {
  const canary = { step: 4, steps: 7, doing: 'hold 2m00s', percent: 25, paused: null };
  const deployment = {
    id: 58,
    phase: 'canary' as const,
    owner: 'me@laptop',
    startedAt: Date.now() - 60_000,
    release: 'r43-77e0d1a',
    canary,
  };
  const shown = async (paused: string | null) => {
    const one = app({ deployment: { ...deployment, canary: { ...canary, paused } } });
    agent.on(
      'GET /v1/status',
      replies({ schemaVersion: 1, agent: '0.4.1', apps: [one], haproxy: null, attention: [] }),
    );
    return (await run('status')).stdout;
  };
  expect(await shown(null)).toContain(
    'shop #58 r43-77e0d1a canary 25 % (4 of 7: hold 2m00s), 1m, by me@laptop',
  );
  const paused = await shown('gate: manual');
  expect(paused).toContain('canary 25 % (4 of 7: paused)');
  expect(paused).toContain('Try: zdd-agent resume --app shop      or: zdd-agent abort --app shop');
});

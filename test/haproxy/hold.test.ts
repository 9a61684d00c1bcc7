import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { DesiredHold, DesiredProxy, DesiredServer } from '../../agent/haproxy/desired.ts';
import { type Lab, openLab, shop, soon, until } from './harness.ts';
import { answerKinds, record } from './recorder.ts';

let lab: Lab;

beforeEach(async () => {
  lab = await openLab();
  await lab.proxy.open(soon());
});

afterEach(() => lab.close());

const NOBODY: DesiredHold = { on: false, withinMs: 20_000, requests: 1_000 };

/** The shop, whose requests wait, or do not. */
function alone(hold: DesiredHold, ...servers: readonly DesiredServer[]): DesiredProxy {
  return { apps: shop(...servers).apps.map((app) => ({ ...app, keepsRoutes: true, hold })) };
}

async function answer(): Promise<{ status: number; retryAfter: string | null; ms: number }> {
  const started = performance.now();
  const { status, headers } = await fetch(`http://127.0.0.1:${lab.port}/`);
  return { status, retryAfter: headers.get('retry-after'), ms: performance.now() - started };
}

async function waiting(): Promise<number> {
  return await lab.proxy.held('shop', soon());
}

test('under load, a new server takes all that waited while there was none', async () => {
  const old = await lab.app('r1', (request, response) => void answerKinds('r1', request, response));
  await lab.proxy.apply(alone(NOBODY, lab.server('r1', 100)), soon());
  const load = record(lab.port);
  for (const next of ['r2', 'r3', 'r4']) {
    const [before] = (await lab.config()).match(/server r\d+ /) ?? [];
    const name = before?.split(' ')[1] ?? '';
    const held = { ...NOBODY, on: true };
    await lab.proxy.apply(alone(held, lab.server(name, 0)), soon());
    await until('what runs to end', async () => {
      const [one] = await lab.proxy.connections('shop', [name], soon());
      return one?.requests === 0;
    });
    await until('requests to wait', async () => (await waiting()) > 8);
    await lab.proxy.apply(alone(held, lab.server(name, 0, 'leaving')), soon());
    if (name === 'r1') await old.stop();
    await lab.app(next, (request, response) => void answerKinds(next, request, response));
    await lab.proxy.apply(alone(held, lab.server(next, 0)), soon());
    const told = await lab.proxy.apply(alone(NOBODY, lab.server(next, 100)), soon());
    expect(told.reloaded).toBe(false);
    await until('an answer of the new one', () =>
      load.records.some(({ outcome }) => outcome === `200 ${next}`),
    );
  }
  const records = await load.stop();
  expect(records.filter(({ ok }) => !ok)).toEqual([]);
});

test('who waits for too long is told to come back; beyond the limit at once', async () => {
  await lab.app('r1');
  const held = { on: true, withinMs: 1_500, requests: 3 };
  await lab.proxy.apply(alone({ ...held, on: false }, lab.server('r1', 100)), soon());
  await lab.proxy.apply(alone(held, lab.server('r1', 0)), soon());
  const three = [answer(), answer(), answer()];
  await until('three to wait', async () => (await waiting()) === 3);
  const fourth = await answer();
  expect(fourth).toMatchObject({ status: 503, retryAfter: '5' });
  for (const one of await Promise.all(three)) {
    expect(one).toMatchObject({ status: 503, retryAfter: '5' });
    expect(one.ms).toBeGreaterThan(1_400);
    expect(one.ms).toBeGreaterThan(fourth.ms);
  }
});

test('a reload in between does not let them go, and the script is put back when it is gone', async () => {
  await lab.app('r1');
  await lab.proxy.apply(alone(NOBODY, lab.server('r1', 100)), soon());
  const held = alone({ ...NOBODY, on: true }, lab.server('r1', 0));
  await lab.proxy.apply(held, soon());
  await lab.again().apply(held, soon());
  const script = join(lab.folder, 'zdd-hold.lua');
  const text = await readFile(script, 'utf8');
  await rm(script);
  expect(await lab.proxy.inspect(held, soon())).toEqual([
    { what: 'zdd-hold.lua: not what the agent wrote' },
  ]);
  await lab.proxy.apply(held, soon());
  expect(await readFile(script, 'utf8')).toBe(text);
  await writeFile(script, '-- mine');
  await lab.proxy.apply(held, soon());
  expect(await readFile(script, 'utf8')).toBe(text);
  expect(await lab.proxy.inspect(held, soon())).toEqual([]);
  // A restart of HAProxy comes back with the flag up: nobody may be sent to what is stopped.
  const other = {
    apps: [...held.apps, ...held.apps.map((app) => ({ ...app, app: 'blog', routes: [] }))],
  };
  expect((await lab.proxy.apply(other, soon())).reloaded).toBe(true);
  const late = answer();
  await until('one to wait', async () => (await waiting()) === 1);
  await lab.proxy.apply(
    { apps: [...alone(NOBODY, lab.server('r1', 100)).apps, ...other.apps.slice(1)] },
    soon(),
  );
  expect((await late).status).toBe(200);
});

test('an app that may run twice has neither script nor rule', async () => {
  await lab.app('r1');
  await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
  expect(await lab.config()).not.toMatch(/lua|_hold/);
});

import { get } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Receipt } from '../../agent/protocol/events.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { killedWhile } from './killed-while.ts';
import { ledgerOf, push, settled } from './shop.ts';

let host: PrivateHost;
beforeAll(async () => {
  host = await PrivateHost.start();
  // Slow enough for the kill to come while it starts.
  const release = { behaviour: { version: 'v1', slowStartMs: 300 } };
  expect((await push(host, release)).code).toBe(0);
});
afterAll(async () => {
  await host.remove();
});

/** How a verb about the shop ended, in whose middle the daemon was killed. */
async function killedIn(phase: string, verb: readonly string[]): Promise<Receipt> {
  return (await killedWhile(host, phase, [...verb, '--app', 'shop'])).receipt;
}

async function instances(): Promise<string[]> {
  const { generations = [] } = (await host.app('shop')) ?? {};
  expect(generations.map(({ role }) => role)).toEqual(['stable']);
  const all = generations.flatMap((generation) => generation.instances);
  expect(all.filter(({ state }) => state !== 'running')).toEqual([]);
  return all.map(({ process }) => process).toSorted();
}

function statusOf(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    get(`${host.url}${path}`, { agent: false }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
      response.on('error', reject);
    }).on('error', reject);
  });
}

describe('SIGKILL under load: finished, and nothing is lost', () => {
  let load: Load;
  beforeAll(async () => {
    load = startLoad({ url: host.url, rate: 150, ledger: ledgerOf(host) });
    await load.ready(20_000);
  });
  afterAll(async () => {
    await load.stop();
  });

  for (const phase of ['starting', 'probing', 'admitting', 'switching', 'baking', 'promoting']) {
    test(`while ${phase} of a restart`, async () => {
      const receipt = await killedIn(phase, ['restart', '--bake', '500ms']);
      expect(receipt).toMatchObject({ kind: 'restart', error: null, outcome: 'succeeded' });
      await settled(host);
      expect(await instances()).toEqual(['web', 'web', 'worker']);
      expect(load.snapshot().lost).toBe(0);
    });
  }

  const numbers = [3, 1, 3, 2];
  for (const [index, phase] of ['starting', 'admitting', 'switching', 'promoting'].entries()) {
    test(`while ${phase} of a scale`, async () => {
      const web = numbers[index] ?? 2;
      const receipt = await killedIn(phase, ['scale', `web=${web}`]);
      expect(receipt).toMatchObject({ kind: 'scale', error: null, outcome: 'succeeded' });
      await settled(host);
      expect(await instances()).toEqual([...Array.from({ length: web }, () => 'web'), 'worker']);
      expect(load.snapshot().lost).toBe(0);
    });
  }

  test('not one request was lost by any of it', async () => {
    const report = await load.stop();
    expect(report.losses).toEqual([]);
    expect(report.ledger?.duplicates).toEqual([]);
    expect(report.ledger?.workerOverlaps).toBe(0);
  });
});

describe('SIGKILL of the daemon while an app is taken offline, and brought back', () => {
  for (const phase of ['closing', 'draining', 'stopping']) {
    test(`while ${phase}: the stop is finished, and what had begun ended well`, async () => {
      const slow = statusOf('/slow?ms=1500');
      await host.until('it to have begun', 10_000, async () =>
        (await host.app('shop'))?.generations.some(({ requests }) => (requests ?? 0) > 0),
      );
      expect(await killedIn(phase, ['stop'])).toMatchObject({
        kind: 'stop',
        outcome: 'succeeded',
        lost: 0,
      });
      expect(await slow).toBe(200);
      expect(await host.app('shop')).toMatchObject({
        live: null,
        stopped: { release: expect.stringMatching(/^r1-/) },
        generations: [],
      });
      expect(await statusOf('/')).toBe(503);
      expect((await host.cli(['start', '--app', 'shop'])).code).toBe(0);
      expect(await statusOf('/')).toBe(200);
      await settled(host);
    });
  }

  for (const phase of ['starting', 'probing', 'admitting', 'switching', 'promoting']) {
    test(`while ${phase} of a start: it is finished`, async () => {
      expect((await host.cli(['stop', '--app', 'shop'])).code).toBe(0);
      expect(await killedIn(phase, ['start'])).toMatchObject({
        kind: 'start',
        outcome: 'succeeded',
      });
      await settled(host);
      expect(await instances()).toEqual(['web', 'web', 'worker']);
      expect(await statusOf('/')).toBe(200);
    });
  }

  test('on the way back from a stop that was called off: traffic is back', async () => {
    const slow = statusOf('/slow?ms=3000');
    await host.until('it to have begun', 10_000, async () =>
      (await host.app('shop'))?.generations.some(({ requests }) => (requests ?? 0) > 0),
    );
    const since = (await host.events()).at(-1)?.seq ?? 0;
    await host.cli(['stop', '--app', 'shop', '--detach']);
    await host.until('it to drain', 20_000, async () =>
      (await host.events(since)).some(
        (told) => told.type === 'phase_changed' && told.to === 'draining',
      ),
    );
    await host.cli(['abort', '--app', 'shop', '--detach']);
    await host.stopDaemon('SIGKILL');
    await host.startDaemon();
    await host.until('the end', 20_000, async () =>
      (await host.events(since)).some(
        (told) => told.type === 'deployment_ended' && told.receipt.outcome === 'aborted',
      ),
    );
    expect(await statusOf('/')).toBe(200);
    expect(await slow).toBe(200);
    expect(await instances()).toEqual(['web', 'web', 'worker']);
  });
});

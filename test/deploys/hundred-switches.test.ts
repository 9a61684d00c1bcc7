import { afterEach, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { startLoad } from '../../load/load.ts';
import { ledgerOf, settled, shop } from './shop.ts';

/** A switch by reload leaves an old worker behind, which takes its time. */
const STRATEGIES = [
  { by: 'runtime', switches: 100 },
  { by: 'reload', switches: 15 },
] as const;

let host: PrivateHost;
afterEach(async () => {
  await host.remove();
});

test.each(STRATEGIES)(
  '$switches switches in a row by $by, under load, lose nothing',
  {
    timeout: 600_000,
  },
  async ({ by, switches }) => {
    host = await PrivateHost.start({ haproxy: { switch: by } });
    const config = { bake: '0s', drain: { websockets: '3s', pace: '500/s' } };
    const versions = await Promise.all(
      ['a', 'b'].map((version) => shop(host, { behaviour: { version }, config })),
    );
    const deploy = async (round: number): Promise<void> => {
      const artifact = versions[round % 2];
      if (artifact === undefined) throw new Error('no artifact');
      const { code, stderr } = await host.cli(['push', artifact.path]);
      expect(stderr, `switch ${round}`).not.toContain('ZDD_');
      expect(code).toBe(0);
    };
    await deploy(0);
    const closingFrom = new Map<string, number[]>();
    const load = startLoad({
      url: host.url,
      rate: 300,
      websockets: 10,
      ledger: ledgerOf(host),
      closedByDrain: ({ release, closedAt }) =>
        (closingFrom.get(release) ?? []).some((at) => closedAt >= at),
    });
    await load.ready(20_000);
    for (let round = 1; round <= switches; round += 1) await deploy(round);
    await settled(host);
    for (const told of await host.events()) {
      if (told.type !== 'draining') continue;
      closingFrom.set(told.release, [...(closingFrom.get(told.release) ?? []), told.closingFrom]);
    }
    const report = await load.stop();
    const moved = (await host.events()).filter(({ type }) => type === 'traffic_moved');
    expect(moved.length).toBeGreaterThanOrEqual(switches);
    for (const told of moved.slice(1)) expect(told).toMatchObject({ reloaded: by === 'reload' });
    expect(report.losses).toEqual([]);
    expect(report.websockets.cuts).toEqual([]);
    expect(report.websockets.gaps).toBe(0);
    expect(report.ledger?.duplicates).toEqual([]);
    expect(report.ledger?.workerOverlaps).toBe(0);
    expect(report.requests).toBeGreaterThan(switches * 100);
  },
);

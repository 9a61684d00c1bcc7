import { rm, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Lab, openLab, shop, soon, until } from './harness.ts';
import { rawGet } from './raw.ts';
import { answerKinds, record } from './recorder.ts';
import { openTunnel } from './websocket.ts';

let lab: Lab;

beforeEach(async () => {
  lab = await openLab();
  await lab.proxy.open(soon());
  await lab.app('r1', (asked, answer) => void answerKinds('r1', asked, answer));
  await lab.app('r2', (asked, answer) => void answerKinds('r2', asked, answer));
  await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
});

afterEach(() => lab.close());

const wanted = () => shop(lab.server('r1', 0), lab.server('r2', 100));
const differences = async (): Promise<string[]> =>
  (await lab.proxy.inspect(wanted(), soon())).map(({ what }) => what);

describe('haproxy.cfg', () => {
  it.each([
    ['deleted', () => rm(lab.options.configPath), 'haproxy.cfg: missing'],
    ['emptied', () => writeFile(lab.options.configPath, '\n'), 'haproxy.cfg: empty'],
  ])('%s: the part of the admin comes back with the region', async (_, lose, says) => {
    const text = await lab.config();
    const mine = text.replace('stats timeout 30s', 'stats timeout 30s\n  # of the admin');
    await writeFile(lab.options.configPath, mine);
    await lab.proxy.apply(wanted(), soon());
    await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
    const recording = record(lab.port);
    await lose();
    expect(await differences()).toContain(says);
    expect(await lab.proxy.apply(wanted(), soon())).toMatchObject({ reloaded: false });
    expect(await lab.config()).toContain('# of the admin');
    expect(await lab.config()).toContain('stats socket');
    expect(await differences()).toEqual([]);
    expect(await rawGet(lab.port, 'shop')).toContain('x-release: r2');
    expect((await recording.stop()).filter(({ ok }) => !ok)).toEqual([]);
  });

  it('replaced by one without a region: the region is added to it, and nothing else changed', async () => {
    const recording = record(lab.port);
    const theirs = (await lab.config()).split('# >>> zdd-agent')[0] ?? '';
    await writeFile(lab.options.configPath, `${theirs}# another\n`);
    expect(await differences()).toContain('haproxy.cfg: no managed region');
    expect(await lab.proxy.apply(wanted(), soon())).toMatchObject({ reloaded: false });
    expect((await lab.config()).startsWith(`${theirs}# another\n`)).toBe(true);
    expect(await differences()).toEqual([]);
    expect((await recording.stop()).filter(({ ok }) => !ok)).toEqual([]);
  });
});

describe('the admin socket', () => {
  it('removed: everything goes through the master, and a switch loses nothing', async () => {
    await rm(lab.options.adminSocket);
    const recording = record(lab.port);
    const tunnel = await openTunnel(lab.port);
    expect(await lab.proxy.apply(wanted(), soon())).toMatchObject({ reloaded: false });
    expect(await differences()).toEqual([]);
    const [r1] = await lab.proxy.connections('shop', ['r1'], soon());
    expect(r1?.websockets).toBe(1);
    const [app] = wanted().apps;
    if (app === undefined) throw new Error('no app');
    // A new shape: the reload works without it too.
    const reloaded = await lab.proxy.apply({ apps: [{ ...app, check: null }] }, soon());
    expect(reloaded).toMatchObject({ reloaded: true });
    expect((await recording.stop()).filter(({ ok }) => !ok)).toEqual([]);
    tunnel.end();
  });
});

describe('the master socket', () => {
  it('removed: an embedded HAProxy makes it again, and loses nothing by it', async () => {
    const recording = record(lab.port);
    await rm(lab.options.masterSocket);
    await until('the room works again', () =>
      lab.proxy.apply(wanted(), soon()).then(
        () => true,
        () => false,
      ),
    );
    expect(await differences()).toEqual([]);
    expect((await recording.stop()).filter(({ ok }) => !ok)).toEqual([]);
  });
});

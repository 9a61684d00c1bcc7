import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sendReload, showProcesses } from '../../agent/haproxy/master.ts';
import { handsOn } from './hands-on.ts';
import { type Lab, openLab, shop, soon } from './harness.ts';

const RELOADS = 15;

let lab: Lab;

beforeEach(async () => {
  lab = await openLab();
  await lab.proxy.open(soon());
});
afterEach(() => lab.close());

const { apply, differences, loaded } = handsOn(() => lab);

describe('while HAProxy reloads', () => {
  it('a look at it is had all the same', async () => {
    await loaded('r1');
    const desired = shop(lab.server('r1', 100));
    await apply(desired);
    const { reloads } = await showProcesses(lab.master, soon());
    let going = true;
    const looking = async (look: () => Promise<unknown>): Promise<void> => {
      while (going) await look();
    };
    const looks = Promise.all([
      looking(() => lab.proxy.info(soon())),
      looking(() => lab.proxy.info(soon())),
      looking(async () => expect(await differences(desired)).toEqual([])),
    ]);
    looks.catch(() => undefined);
    for (let n = 0; n < RELOADS; n += 1) {
      await sendReload(lab.master, soon());
      await showProcesses(lab.master, soon());
    }
    going = false;
    await looks;
    expect((await lab.proxy.info(soon())).reloads).toBe(reloads + RELOADS);
  });
});

import { afterEach, expect, test } from 'vitest';
import { statusReply } from '../../agent/protocol/status.ts';
import { Crowd } from '../../bench/drain/crowd.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import { startLoad } from '../../load/load.ts';
import { freePort } from '../haproxy/harness.ts';
import { push } from './shop.ts';

const LIMIT = 3;
const hosts: PrivateHost[] = [];
const crowds: Crowd[] = [];
afterEach(async () => {
  for (const crowd of crowds.splice(0)) crowd.leave();
  for (const host of hosts.splice(0)) await host.remove();
});

async function currentWorker(host: PrivateHost): Promise<string | undefined> {
  return /^Pid: (\d+)/m.exec(await host.ask('show info'))?.[1];
}

test("an admin's reloads do not pile up workers: the oldest one's clients move on, at a pace", async () => {
  const port = await freePort();
  const bind = [`127.0.0.1:${port}`];
  const host = await PrivateHost.start({
    settings: { haproxy: { mode: 'embedded', bind, max_old_workers: LIMIT } },
  });
  hosts.push(host);
  const url = `http://127.0.0.1:${port}`;
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
  const load = startLoad({ url, rate: 60 });
  await load.ready(20_000);
  const workers = async (): Promise<number> => {
    const { haproxy } = statusReply.parse(await host.api('GET', '/v1/status'));
    return haproxy?.oldWorkers ?? 0;
  };
  for (let reloads = 0; reloads < LIMIT + 2; reloads += 1) {
    const crowd = new Crowd(port);
    crowds.push(crowd);
    await crowd.gather(30);
    const before = await currentWorker(host);
    await host.askMaster('reload');
    await host.until('the new worker', 10_000, async () => {
      const now = await currentWorker(host).catch(() => before);
      return now !== before;
    });
  }
  expect(crowds.every((crowd) => crowd.failed === 0)).toBe(true);
  await host.until('few workers again', 60_000, async () => (await workers()) < LIMIT);
  const story = await host.events();
  const told = story.filter((event) => event.type === 'drift');
  expect(told.map(({ what }) => what).join('\n')).toContain('too many old HAProxy workers');
  // The oldest crowds were moved, the youngest was left alone; all of them are connected again.
  const moved = crowds.map(({ held }) => held.some(({ closedAt }) => closedAt !== null));
  expect(moved[0]).toBe(true);
  expect(moved.at(-1)).toBe(false);
  await host.until('all to be back', 20_000, async () => crowds.every(({ open }) => open === 30));
  expect((await load.stop()).losses).toEqual([]);
});

import { createHash } from 'node:crypto';
import {
  appendFile,
  copyFile,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PrivateHost } from '../../demo/private-host.ts';
import type { ShopRelease } from '../../examples/build-release.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { ledgerOf, shop } from '../deploys/shop.ts';

const result = z.object({
  outcome: z.enum(['done', 'failed']),
  summary: z.string(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  receipt: z.object({ deployment: z.int(), lost: z.int() }).nullable(),
});
type Result = z.infer<typeof result>;

let host: PrivateHost;
let folder: string;
beforeAll(async () => {
  host = await PrivateHost.start();
  folder = join(host.stateDir, 'incoming/shop');
  await mkdir(folder, { recursive: true });
});
afterAll(async () => {
  await host.remove();
});

/** Puts a release into the drop folder as rsync does: under a hidden name, then by a rename. */
async function drop(name: string, release: ShopRelease): Promise<void> {
  const { path } = await shop(host, release);
  await copyFile(path, join(folder, `.${name}.x1Y2z3`));
  await rename(join(folder, `.${name}.x1Y2z3`), join(folder, name));
}

async function resultOf(name: string, withinMs = 60_000): Promise<Result> {
  return await host.until(`the result of ${name}`, withinMs, async () => {
    for (const end of ['done', 'failed']) {
      const text = await readFile(join(folder, end, `${name}.result.json`), 'utf8').catch(() => '');
      if (text !== '') return result.parse(JSON.parse(text));
    }
    return undefined;
  });
}

/** Numbers of the deployments that began with this file. */
async function deploymentsOf(name: string): Promise<(number | null)[]> {
  return (await host.events()).flatMap((told) =>
    told.type === 'deployment_started' && told.source === `incoming/shop/${name}`
      ? [told.deployment]
      : [],
  );
}

describe('the drop folder', () => {
  let load: Load;

  it('deploys an archive that is renamed in, and moves it beside its result', async () => {
    await drop('v1.tgz', { behaviour: { version: 'v1' } });
    expect(await resultOf('v1.tgz')).toMatchObject({ outcome: 'done', error: null });
    expect((await host.app('shop'))?.live).toMatch(/^r1-/);
    expect(await readdir(join(folder, 'done'))).toEqual(['v1.tgz', 'v1.tgz.result.json']);
    load = startLoad({ url: host.url, rate: 60, ledger: ledgerOf(host) });
    await load.ready(20_000);
  });

  it('waits for an upload that is slow, and does not look at it before', async () => {
    const { path } = await shop(host, { behaviour: { version: 'slow' } });
    const bytes = await readFile(path);
    const target = join(folder, 'slow.tgz');
    const third = Math.ceil(bytes.length / 3);
    for (let at = 0; at < bytes.length; at += third) {
      await appendFile(target, bytes.subarray(at, at + third));
      // Longer than it takes to be looked at: what is there by then is cut short.
      await sleep(2_600);
    }
    expect(await resultOf('slow.tgz')).toMatchObject({ outcome: 'done' });
    expect(await deploymentsOf('slow.tgz')).toHaveLength(1);
  });

  it('takes several in the order in which they came, one after the other', async () => {
    for (const version of ['b', 'a', 'c']) {
      await drop(`${version}.tgz`, { behaviour: { version }, config: { bake: '500ms' } });
    }
    const results = await Promise.all(['b', 'a', 'c'].map((name) => resultOf(`${name}.tgz`)));
    const numbers = results.map(({ receipt }) => receipt?.deployment ?? 0);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    expect(results.map(({ outcome }) => outcome)).toEqual(['done', 'done', 'done']);
  });

  it('holds an archive against the digest beside it', async () => {
    const { path } = await shop(host, { behaviour: { version: 'digest' } });
    const digest = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
    await writeFile(join(folder, 'good.tgz.sha256'), `${digest}  good.tgz\n`);
    await copyFile(path, join(folder, 'good.tgz'));
    expect(await resultOf('good.tgz')).toMatchObject({ outcome: 'done' });
    expect(await readdir(folder)).toEqual(['done', 'failed', 'taken']);
  });

  it('says why it does not take a link, a folder, a wrong name, a zip or the file of another app', async () => {
    const before = (await host.events()).filter(({ type }) => type === 'deployment_started').length;
    const other = await shop(host, { behaviour: { version: 'x' }, config: { app: 'other' } });
    await copyFile(other.path, join(folder, 'other.tgz'));
    await symlink('/etc/passwd', join(folder, 'link.tgz'));
    await mkdir(join(folder, 'folder.tgz'));
    await writeFile(join(folder, 'notes.txt'), 'hello');
    await writeFile(
      join(folder, 'zip.tgz'),
      Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(2_000)]),
    );
    const codes = await Promise.all(
      ['other.tgz', 'link.tgz', 'folder.tgz', 'notes.txt', 'zip.tgz'].map(
        async (name) => (await resultOf(name)).error?.code,
      ),
    );
    expect(codes).toEqual([
      'ZDD_DROP_REFUSED',
      'ZDD_DROP_REFUSED',
      'ZDD_DROP_REFUSED',
      'ZDD_DROP_REFUSED',
      'ZDD_ARTIFACT_UNKNOWN_FORMAT',
    ]);
    expect(await readdir(folder)).toEqual(['done', 'failed', 'taken']);
    const after = (await host.events()).filter(({ type }) => type === 'deployment_started').length;
    expect(after).toBe(before);
  });

  it('gives an upload that never ends a result as well', async () => {
    const { path } = await shop(host, { behaviour: { version: 'cut' } });
    const file = await open(join(folder, 'cut.tgz'), 'w');
    await file.write((await readFile(path)).subarray(0, 5_000));
    await file.close();
    expect((await resultOf('cut.tgz')).error?.code).toBe('ZDD_ARTIFACT_CORRUPT');
  }, 90_000);

  it('tells of a release that fails, with its receipt', async () => {
    await drop('broken.tgz', {
      behaviour: { version: 'broken', health: 'never' },
      config: { processes: { web: { health: { path: '/healthz', within: '1s' } } } },
    });
    expect(await resultOf('broken.tgz')).toMatchObject({
      outcome: 'failed',
      error: { code: 'ZDD_PROBE_TIMEOUT' },
      receipt: { lost: 0 },
    });
  });

  it('is killed anywhere: every file is deployed once, none is forgotten', async () => {
    for (const [index, waitMs] of [2_200, 2_500, 2_900, 3_500].entries()) {
      const name = `killed-${index}.tgz`;
      await drop(name, { behaviour: { version: name }, config: { bake: '1s' } });
      await sleep(waitMs);
      await host.stopDaemon('SIGKILL');
      await host.startDaemon();
      expect(await resultOf(name)).toMatchObject({ outcome: 'done' });
      expect(await deploymentsOf(name)).toHaveLength(1);
    }
    expect(await readdir(folder)).toEqual(['done', 'failed', 'taken']);
    expect(await readdir(join(folder, 'taken'))).toEqual([]);
  }, 120_000);

  it('is killed after every line of its record: no second deployment', async () => {
    await drop('twice.tgz', { behaviour: { version: 'twice' }, config: { bake: '2s' } });
    const deployed = await host.until('it to bake', 30_000, async () => {
      const app = await host.app('shop');
      return app?.deployment?.phase === 'baking' ? app.deployment.id : undefined;
    });
    for (let kills = 0; kills < 2; kills += 1) {
      await host.stopDaemon('SIGKILL');
      await host.startDaemon();
    }
    expect((await resultOf('twice.tgz')).receipt?.deployment).toBe(deployed);
    expect(await deploymentsOf('twice.tgz')).toEqual([deployed]);
  });

  it('keeps ten results of each kind', async () => {
    // A result stands there a moment before the oldest one goes.
    await host.until('the oldest results to go', 10_000, async () => {
      const done = await readdir(join(folder, 'done'));
      return done.filter((name) => name.endsWith('.json')).length === 10 ? true : undefined;
    });
  });

  it('lost no request in all of this', async () => {
    expect((await load.stop()).losses).toEqual([]);
  });
});

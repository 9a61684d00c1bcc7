import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigEdited, type Draft, draftConfig } from '../../agent/haproxy/config/draft.ts';
import type { DesiredProxy } from '../../agent/haproxy/desired.ts';
import { type Lab, openLab, shop, soon, until } from './harness.ts';

const base = 'defaults\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n';
const before = `${base}frontend f\n  mode http\n  bind 127.0.0.1:1\n`;
const good = `${before}# a successor\n`;

describe('a draft of haproxy.cfg', () => {
  let folder: string;
  let path: string;
  const draftOf = (text: string): Draft => draftConfig(path, text, 'haproxy', soon());

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'zdd-draft-'));
    path = join(folder, 'haproxy.cfg');
    await writeFile(path, before);
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('stands for one text, once, and no longer than what the text names stays the same', async () => {
    const draft = draftOf(good);
    expect(await draft.holds(`${good} `)).toBe(false);
    expect(await draft.holds(good)).toBe(true);
    await draft.place(before);
    expect(await readFile(path, 'utf8')).toBe(good);
    expect(await draft.holds(good)).toBe(false);
    await draft.discard();
    expect((await readdir(folder)).sort()).toEqual(['haproxy.cfg', 'haproxy.cfg.previous']);

    const outdated = draftOf(before);
    outdated.outdate();
    expect(await outdated.holds(before)).toBe(false);
    await outdated.discard();
  });

  it('that does not pass can never be placed', async () => {
    const draft = draftOf(`${before}  nonsense\n`);
    expect(await draft.holds(`${before}  nonsense\n`)).toBe(false);
    await expect(draft.place(before)).rejects.toMatchObject({ code: 'ZDD_HAPROXY_CONFIG_INVALID' });
    await draft.discard();
    expect(await readFile(path, 'utf8')).toBe(before);
    expect(await readdir(folder)).toEqual(['haproxy.cfg']);
  });

  it('does not take the place of a file that was edited since', async () => {
    const draft = draftOf(good);
    expect(await draft.holds(good)).toBe(true);
    await writeFile(path, `${before}# an edit\n`);
    await expect(draft.place(before)).rejects.toBeInstanceOf(ConfigEdited);
    await draft.discard();
    expect(await readFile(path, 'utf8')).toBe(`${before}# an edit\n`);
    expect(await readdir(folder)).toEqual(['haproxy.cfg']);
  });

  it('that is discarded ends its look at once and leaves nothing', async () => {
    const slow = join(folder, 'slow');
    await writeFile(slow, `#!/bin/sh\necho $$ > ${folder}/pid\nexec sleep 60\n`, { mode: 0o755 });
    const draft = draftConfig(path, good, slow, new AbortController().signal);
    const pid = async () => Number(await readFile(join(folder, 'pid'), 'utf8').catch(() => ''));
    await until('it looks', async () => (await pid()) > 0);
    const discarded = draft.discard();
    // Left alone it would sleep longer than is waited for here.
    await until('the look has ended', async () => !(await isAlive(await pid())));
    await discarded;
    expect(await draft.holds(good)).toBe(false);
    expect((await readdir(folder)).sort()).toEqual(['haproxy.cfg', 'pid', 'slow']);
  });
});

describe('what haproxy.cfg says', () => {
  let lab: Lab;
  let passed: string;
  const sha = (text: string): string => createHash('sha256').update(text).digest('hex');

  beforeEach(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'zdd-checker-'));
    passed = join(folder, 'passed');
    await writeFile(passed, '');
    const binary = join(folder, 'haproxy');
    await writeFile(
      binary,
      `#!/bin/sh
[ "$1" = -c ] || exec haproxy "$@"
haproxy "$@" && sha256sum "$3" >> ${passed}
`,
      { mode: 0o755 },
    );
    lab = await openLab({ binary });
    await lab.proxy.open(soon());
  });

  afterEach(async () => {
    await lab.close();
    await rm(join(passed, '..'), { recursive: true });
  });

  const checks = async (): Promise<readonly string[]> =>
    (await readFile(passed, 'utf8')).split('\n').flatMap((line) => line.split(' ')[0] || []);

  /** Applies, and tells every text that the file had meanwhile. */
  async function textsOf(desired: DesiredProxy): Promise<ReadonlySet<string>> {
    const texts = new Set<string>();
    let done = false;
    const applied = lab.proxy.apply(desired, soon()).finally(() => {
      done = true;
    });
    while (!done) {
      texts.add(await lab.config());
      await turn();
    }
    await applied;
    return texts.add(await lab.config());
  }

  it('has passed haproxy -c at every moment, and a switch asks for it once', async () => {
    for (const name of ['r1', 'r2', 'r3']) await lab.app(name);
    const both = (first: number, second: number): DesiredProxy =>
      shop(lab.server('r1', first), lab.server('r2', second));
    const wishes = [
      shop(lab.server('r1', 100)),
      both(100, 0),
      both(0, 100),
      shop(lab.server('r2', 0, 'leaving'), lab.server('r3', 100)),
    ];
    for (const wish of wishes) {
      const texts = await textsOf(wish);
      const asked = await checks();
      for (const text of texts) expect(asked).toContain(sha(text));
    }
    // The last one had to bring a server first: what it said then, and what it says now.
    expect(await checks()).toContain(
      sha(await readFile(`${lab.options.configPath}.previous`, 'utf8')),
    );
    await textsOf(shop(lab.server('r2', 0), lab.server('r3', 100)));
    const known = await checks();
    await textsOf(shop(lab.server('r2', 100), lab.server('r3', 0)));
    expect((await checks()).length - known.length).toBe(1);
  });

  it('stays as it is when its successor does not pass, and nothing else is left', async () => {
    await lab.app('r1');
    await lab.app('r2');
    await textsOf(shop(lab.server('r1', 100), lab.server('r2', 0)));
    const edited = (await lab.config()).replace('hard-stop-after', 'hard-stop-afer');
    await writeFile(lab.options.configPath, edited);
    const names = async () => (await readdir(lab.folder)).sort();
    const there = await names();
    await expect(
      lab.proxy.apply(shop(lab.server('r1', 0), lab.server('r2', 100)), soon()),
    ).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_CONFIG_INVALID',
      message: expect.stringContaining("unknown keyword 'hard-stop-afer'"),
    });
    expect(await lab.config()).toBe(edited);
    expect(await names()).toEqual(there);
    expect(await lab.ask('show stat zdd_shop 4 -1')).toMatch(/^zdd_shop,r1,.*,100,/m);
  });
});

async function isAlive(pid: number): Promise<boolean> {
  return (
    (await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z')).split(') ')[1]?.[0] !== 'Z'
  );
}

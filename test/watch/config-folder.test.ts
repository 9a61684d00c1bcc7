import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ZddEvent } from '../../agent/protocol/events.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import { push } from '../deploys/shop.ts';

let host: PrivateHost;
let file: string;
let first: string;
beforeAll(async () => {
  host = await PrivateHost.start();
  file = join(host.dir, 'agent.yaml');
  first = await readFile(file, 'utf8');
});
afterAll(async () => {
  await host.remove();
});

type Reloaded = Extract<ZddEvent, { type: 'configuration_reloaded' }>;

async function reloads(since: number): Promise<Reloaded[]> {
  return (await host.events(since)).filter((told) => told.type === 'configuration_reloaded');
}

/** Replaces the file as an editor does, and returns what the agent says of it. */
async function replace(text: string): Promise<Reloaded> {
  const since = (await host.events()).at(-1)?.seq ?? 0;
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
  return await host.until('the file to be read', 20_000, async () => (await reloads(since))[0]);
}

describe('agent.yaml', () => {
  it('is taken over when it is replaced, as by a reload', async () => {
    expect(await replace(`${first}log_level: debug\n`)).toMatchObject({
      changed: ['log_level'],
      error: null,
    });
  });

  it('stays as it was when the new one is wrong, which is said once', async () => {
    const since = (await host.events()).at(-1)?.seq ?? 0;
    expect((await replace(`${first}log_lovel: debug\n`)).error).toContain('1 problem');
    expect(await replace(first)).toMatchObject({ changed: ['log_level'], error: null });
    expect((await reloads(since)).map(({ error }) => error === null)).toEqual([false, true]);
  });

  it('stays in force while there is no file', async () => {
    const since = (await host.events()).at(-1)?.seq ?? 0;
    await rm(file);
    await writeFile(file, `${first}log_level: error\n`);
    await host.until('the new file', 10_000, async () => (await reloads(since)).length > 0);
    expect((await reloads(since)).map(({ changed }) => changed)).toEqual([['log_level']]);
    await replace(first);
  });

  it('is told once when somebody asked for the reload as well', async () => {
    const since = (await host.events()).at(-1)?.seq ?? 0;
    await writeFile(file, `${first}log_level: warn\n`);
    process.kill(host.daemonPid, 'SIGHUP');
    await host.until('the reload', 10_000, async () => (await reloads(since)).length > 0);
    await replace(first);
    expect((await reloads(since)).map(({ changed }) => changed)).toEqual([
      ['log_level'],
      ['log_level'],
    ]);
  });
});

describe('apps/<app>.yaml', () => {
  const instances = async (): Promise<number | undefined> =>
    (await host.app('shop'))?.generations
      .find(({ role }) => role === 'stable')
      ?.instances.filter(({ process }) => process === 'web').length;

  beforeAll(async () => {
    await mkdir(join(host.dir, 'apps'));
  });

  async function override(text: string): Promise<void> {
    await writeFile(join(host.dir, 'apps/shop.yaml'), text);
  }

  it('overrides keys of zdd.yaml with the next deploy, also of content that is there already', async () => {
    const release = { behaviour: { version: 'v1' } };
    expect((await push(host, release)).code).toBe(0);
    const before = await instances();
    await override('processes: { web: { instances: 3 } }\nroutes: [shop.example.com]\n');
    expect(before).not.toBe(3);
    expect(await instances()).toBe(before);
    const { code, stdout, stderr } = await push(host, release);
    expect(code).toBe(0);
    expect(stdout + stderr).toContain('apps/shop.yaml');
    expect(await instances()).toBe(3);
    expect((await host.app('shop'))?.routes).toEqual(['shop.example.com']);
  });

  it.each([
    ['processes: { web: { instances: many } }', 'processes.web.instances'],
    ['app: other', 'another app'],
    ['[a, b]', 'keys of zdd.yaml'],
    ['a: b: c', 'Nested mappings'],
  ])('refuses a deploy when it is wrong: %s', async (text, said) => {
    await override(text);
    const { code, stderr } = await push(host, { behaviour: { version: 'v2' } });
    expect(code).toBe(10);
    expect(stderr).toContain('ZDD_AGENT_CONFIG_INVALID');
    expect(stderr).toContain(said);
    expect((await host.app('shop'))?.live).toMatch(/^r1-/);
  });

  it('is over when it is gone', async () => {
    await rm(join(host.dir, 'apps/shop.yaml'));
    expect((await push(host, { behaviour: { version: 'v2' } })).code).toBe(0);
    expect(await instances()).not.toBe(3);
  });
});

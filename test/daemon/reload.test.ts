import { readFile, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import type { ZddEvent } from '../../agent/protocol/events.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { ledgerOf, push } from '../deploys/shop.ts';

type Reloaded = Extract<ZddEvent, { type: 'configuration_reloaded' }>;

let host: PrivateHost;
let load: Load;
let file: string;
let first: string;
beforeAll(async () => {
  host = await PrivateHost.start();
  file = join(host.dir, 'agent.yaml');
  first = await readFile(file, 'utf8');
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
  load = startLoad({ url: host.url, rate: 100, ledger: ledgerOf(host) });
  await load.ready(20_000);
});
afterAll(async () => {
  await load.stop();
  await host.remove();
});

/** `systemctl reload`: a new file, SIGHUP, and what the agent says about it. */
async function reload(text: string): Promise<Reloaded> {
  const since = (await host.events()).at(-1)?.seq ?? 0;
  await writeFile(file, text);
  process.kill(host.daemonPid, 'SIGHUP');
  return await host.until('the agent to have read it', 20_000, async () =>
    (await host.events(since)).find((told) => told.type === 'configuration_reloaded'),
  );
}

function withSettings(settings: Record<string, unknown>): string {
  return stringify({ ...parse(first), ...settings });
}

function withBind(...bind: string[]): string {
  return withSettings({ haproxy: { ...parse(first).haproxy, bind } });
}

/** On a connection of its own: one from before the reload would still be answered. */
async function answers(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

describe('a reload of agent.yaml', () => {
  it('puts a new limit into force', async () => {
    const told = await reload(withSettings({ limits: { artifact_bytes: 100 } }));
    expect(told).toMatchObject({ changed: ['limits'], needsRestart: [], error: null });
    const refused = await push(host, { behaviour: { version: 'too-large' } });
    expect(refused.stderr).toContain('ZDD_ARTIFACT_TOO_LARGE');
    await reload(first);
    expect((await push(host, { behaviour: { version: 'not-too-large' } })).code).toBe(0);
  });

  it('makes HAProxy listen where it says now, and nowhere else', async () => {
    const port = await freePort();
    const own = Number(new URL(host.url).port);
    expect((await reload(withBind(`127.0.0.1:${own}`, `127.0.0.1:${port}`))).changed).toEqual([
      'haproxy.bind',
    ]);
    expect(await answers(port)).toBe(true);
    await reload(first);
    expect(await answers(port)).toBe(false);
    expect(await answers(own)).toBe(true);
  });

  it('says what takes effect only after a restart', async () => {
    const told = await reload(withSettings({ socket: join(host.dir, 'other.sock') }));
    expect(told).toMatchObject({ changed: [], needsRestart: ['socket'], error: null });
    expect(await host.log()).toContain('takes effect only after a restart: socket');
    await reload(first);
  });

  it('changes the log level', async () => {
    await reload(withSettings({ log_level: 'error' }));
    const before = (await host.log()).length;
    await reload(withSettings({ log_level: 'error', path: '/bin' }));
    expect((await host.log()).slice(before)).not.toContain('configuration read again');
    await reload(first);
  });

  it('keeps everything as it was when the file is wrong', async () => {
    const told = await reload('log_level: loud\nports: { from: 1, to: 2 }\n');
    expect(told).toMatchObject({ changed: [], error: expect.stringContaining('problems') });
    expect(await host.log()).toContain('configuration kept as it was');
    expect((await push(host, { behaviour: { version: 'all-as-before' } })).code).toBe(0);
    await reload(first);
  });

  it('keeps everything as it was when HAProxy cannot listen there', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const told = await reload(withBind(new URL(host.url).host, `127.0.0.1:${port}`));
    expect(told.error).toContain('Another program listens');
    taken.close();
    // The old binds are the ones in force: nothing differs from them, nothing is repaired.
    expect((await push(host, { behaviour: { version: 'old-binds' } })).code).toBe(0);
    expect(await readFile(join(host.stateDir, 'haproxy/haproxy.cfg'), 'utf8')).not.toContain(
      `:${port}`,
    );
    await reload(first);
  });

  it('lost no request in all of this', async () => {
    expect((await load.stop()).losses).toEqual([]);
  });
});

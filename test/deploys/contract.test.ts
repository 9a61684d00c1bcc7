import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { PrivateHost } from '../../demo/private-host.ts';
import type { ConfigOverrides } from '../../examples/build-release.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { push, settled, shop } from './shop.ts';

let host: PrivateHost;
let load: Load | undefined;
beforeEach(async () => {
  host = await PrivateHost.start();
});
afterEach(async () => {
  const report = await load?.stop();
  load = undefined;
  await host.remove();
  expect(report?.losses ?? []).toEqual([]);
});

async function deploy(version: string, config: ConfigOverrides = {}): Promise<void> {
  const { code, stderr } = await push(host, { behaviour: { version }, config });
  expect(code, stderr).toBe(0);
}

async function run(...args: string[]) {
  return await host.cli([...args, '--app', 'shop']);
}

async function live(): Promise<string | null | undefined> {
  return (await host.app('shop'))?.live;
}

test('early it is refused; then it is run, once, and no older release comes back but on purpose', async () => {
  const file = join(host.dir, 'contracted');
  const contract = `echo $ZDD_RELEASE >> ${file}`;
  // Slow requests of its own life are no reason to refuse it when it comes back.
  await deploy('v1', { gates: { p99: '30s' } });
  load = startLoad({ url: host.url, rate: 50, deadlineMs: 120_000 });
  await load.ready(20_000);
  await deploy('v2', { contract, warm: '10m' });
  const early = await run('contract');
  expect(early.code).toBe(2);
  expect(early.stderr).toContain('ZDD_CONTRACT_EARLY');
  expect(early.stderr).toContain('zdd-agent contract --app shop --now');

  const done = await run('contract', '--now');
  expect(done.stdout).toMatch(/^shop: the contract of r2-\w+ is done/);
  expect((await run('contract')).stdout).toMatch(/^shop: the contract of r2-\w+ was run already/);

  const back = await run('rollback');
  expect(back.code).toBe(2);
  expect(back.stderr).toContain('ZDD_CONTRACT_CROSSED');
  expect(back.stderr).toContain('was made before r2-');
  expect(await live()).toMatch(/^r2-/);
  expect((await run('rollback', '--across-contract')).code).toBe(0);
  expect(await live()).toMatch(/^r1-/);
  const { stdout } = await run('audit');
  expect(stdout).toMatch(/rollback acrossContract=true/);
});

test('one that fails says what it said, bars the way back, and can be run again', async () => {
  const mended = join(host.dir, 'mended');
  await deploy('v1');
  await deploy('v2', { contract: `[ -e ${mended} ] || { echo no such column; exit 4; }` });
  await settled(host);
  const failed = await run('contract');
  expect(failed.code).toBe(20);
  expect(failed.stderr).toContain('exited with 4');
  expect(failed.stderr).toContain('no such column');
  expect((await run('status')).stdout).toContain('the contract of r2-');
  expect((await run('rollback')).stderr).toContain('ZDD_CONTRACT_CROSSED');
  await writeFile(mended, '');
  expect((await run('contract')).code).toBe(0);
  expect((await run('status')).stdout).not.toContain('the contract of r2-');
});

test('nobody deploys while it runs; an agent that is killed says that it was cut', async () => {
  await deploy('v1', { contract: 'sleep 600' });
  const running = run('contract');
  await host.until('it to begin', 20_000, async () =>
    (await host.events()).some((event) => event.type === 'contract'),
  );
  const second = await push(host, { behaviour: { version: 'v2' } });
  expect(second.code).toBe(12);
  expect((await run('contract')).code).toBe(12);
  await host.stopDaemon('SIGKILL');
  await host.startDaemon();
  expect((await running).stderr.replaceAll(/\s+/g, ' ')).toContain('nobody knows how far it came');
  await deploy('v2');
});

test('told so, it follows by itself once no older release can come back', async () => {
  await deploy('v1');
  await deploy('v2', { contract: { run: 'true', when: 'after_warm' }, warm: '1s' });
  await host.until('the contract to be done', 60_000, async () =>
    (await host.events()).some((event) => event.type === 'contract' && event.outcome === 'ok'),
  );
  const events = await host.events();
  const gone = events.findIndex(({ type }) => type === 'release_stopped');
  expect(gone).toBeGreaterThan(-1);
  expect(gone).toBeLessThan(events.findIndex(({ type }) => type === 'contract'));
});

test('a release command for the fleet is left out where another host has run it', async () => {
  const file = join(host.dir, 'released');
  const release = { run: `echo $ZDD_RELEASE >> ${file}`, per: 'fleet' };
  await deploy('v1', { release });
  const { path } = await shop(host, { behaviour: { version: 'v2' }, config: { release } });
  const { artifact } = z
    .object({ artifact: z.string() })
    .parse(await ask('/v1/artifacts', await readFile(path), 'application/octet-stream'));
  const wish = JSON.stringify({ artifact, releasedElsewhere: true });
  const { deployment } = z
    .object({ deployment: z.int() })
    .parse(await ask('/v1/deployments', Buffer.from(wish), 'application/json'));
  const receipt = await host.receipt('shop', deployment);
  expect(receipt.outcome).toBe('succeeded');
  expect(receipt.steps.map(({ phase }) => phase)).not.toContain('releasing');
  expect(await readFile(file, 'utf8')).toMatch(/^r1-\w+\n$/);
});

test('tried once more, it is left out as well; one for each host never is', async () => {
  const file = join(host.dir, 'released');
  await deploy('v1');
  const wish = async (version: string, per: string) => {
    const release = { run: `echo ${version} >> ${file}`, per };
    const smoke = [{ path: '/', contains: 'never said' }];
    const config = { release, smoke };
    const { path } = await shop(host, { behaviour: { version }, config });
    const { artifact } = z
      .object({ artifact: z.string() })
      .parse(await ask('/v1/artifacts', await readFile(path), 'application/octet-stream'));
    const body = JSON.stringify({ artifact, releasedElsewhere: true });
    const { deployment } = z
      .object({ deployment: z.int() })
      .parse(await ask('/v1/deployments', Buffer.from(body), 'application/json'));
    expect((await host.receipt('shop', deployment)).outcome).toBe('failed');
  };
  await wish('fleet', 'fleet');
  expect((await host.cli(['retry', '--app', 'shop'])).stderr).toContain('ZDD_SMOKE_FAILED');
  expect(await readFile(file, 'utf8').catch(() => 'none')).toBe('none');
  await wish('each', 'host');
  expect((await host.cli(['retry', '--app', 'shop'])).stderr).toContain('ZDD_SMOKE_FAILED');
  expect(await readFile(file, 'utf8')).toBe('each\neach\n');
});

/** Asks the agent itself, as a CLI on another host does. */
async function ask(path: string, body: Buffer, type: string): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const headers = { 'content-type': type, 'content-length': body.length };
  request({ socketPath: host.socket, method: 'POST', path, headers }, async (answer) => {
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk);
    resolve(JSON.parse(Buffer.concat(chunks).toString()));
  })
    .on('error', reject)
    .end(body);
  return await promise;
}

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { push, shop } from './shop.ts';

const FOLDER = new URL('../newman/', import.meta.url);
/** Installed by `npm test`, or: npm ci --prefix test/newman */
const NEWMAN = fileURLToPath(new URL('node_modules/newman/bin/newman.js', FOLDER));

let host: PrivateHost;
let load: Load;
let collection: string;

beforeAll(async () => {
  collection = await readFile(new URL('shop.postman_collection.json', FOLDER), 'utf8');
  host = await PrivateHost.start();
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
  load = startLoad({ url: host.url, rate: 50, deadlineMs: 60_000 });
  await load.ready(20_000);
});
afterAll(async () => {
  expect((await load.stop()).losses).toEqual([]);
  await host.remove();
});

/** Deploys a release with a collection of its own, which newman asks of it before and after. */
async function deploy(version: string, text: string) {
  const run = [
    `${process.execPath} ${NEWMAN} run shop.postman_collection.json --color off`,
    '--env-var base=$ZDD_SMOKE_URL --env-var release=$ZDD_RELEASE',
  ].join(' ');
  const { path } = await shop(host, {
    behaviour: { version },
    config: { bake: '2s', smoke: [{ name: 'collection', run, when: 'both' }] },
    files: { 'shop.postman_collection.json': text },
  });
  const { stdout } = await host.cli(['push', path, '--detach', '--json']);
  const { deployment } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  return await host.receipt('shop', Number(deployment));
}

test('a Postman collection is run by newman, at the candidate and through HAProxy', async () => {
  const receipt = await deploy('v2', collection);
  expect(receipt).toMatchObject({ outcome: 'succeeded', lost: 0, error: null });
  const smoked = receipt.steps.filter(({ phase }) => phase === 'smoking');
  expect(smoked.map(({ summary }) => summary)).toEqual([
    '1 of 1 passed',
    '1 of 1 passed through HAProxy',
  ]);
});

test('one assertion that does not hold stops the rollout, and newman says which', async () => {
  const live = (await host.app('shop'))?.live;
  const receipt = await deploy('v3', collection.replace('.to.equal(2)', '.to.equal(3)'));
  expect(receipt).toMatchObject({
    outcome: 'failed',
    switchMs: null,
    error: { code: 'ZDD_SMOKE_FAILED', message: 'the smoke check collection of web.1 failed' },
  });
  const said = new Map(receipt.error?.evidence).get('command') ?? '';
  expect(said).toMatch(/^exited with 1\n/);
  expect(said).toContain('expected 2 to equal 3');
  expect(said).toContain('inside "checkout"');
  expect((await host.app('shop'))?.live).toBe(live);
});

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { push } from './shop.ts';

let host: PrivateHost;
beforeAll(async () => {
  host = await PrivateHost.start();
});
afterAll(() => host.remove());

test('limits are of the release whose they are, the page is of the app', async () => {
  const page = '<p>The shop is shut.</p>';
  const first = { overload: { maxconn: 40, slow_start: '2s', queue: '3s', page }, warm: '60s' };
  expect((await push(host, { behaviour: { version: 'v1' }, config: first })).code).toBe(0);
  const second = { overload: { maxconn: 80, queue: '3s', page } };
  expect((await push(host, { behaviour: { version: 'v2' }, config: second })).code).toBe(0);
  const config = await readFile(join(host.stateDir, 'haproxy/haproxy.cfg'), 'utf8');
  const servers = config.split('\n').filter((line) => /^ {2}server r\d/.test(line));
  const limits = servers.map((line) => [
    /server (r\d)/.exec(line)?.[1],
    /maxconn (\d+)/.exec(line)?.[1],
    /slowstart (\d+)/.exec(line)?.[1],
  ]);
  expect(limits).toContainEqual(['r1', '40', '2000']);
  expect(limits).toContainEqual(['r2', '80', undefined]);
  expect(config).toContain('timeout queue 3000');
  expect((await host.cli(['stop', '--app', 'shop'])).code).toBe(0);
  const answer = await fetch(host.url);
  expect([answer.status, await answer.text()]).toEqual([503, page]);
  expect(answer.headers.get('retry-after')).toBe('5');
});

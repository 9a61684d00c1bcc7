import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { receipt as receiptSchema } from '../../agent/protocol/events.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import type { ConfigOverrides, ConfigValue } from '../../examples/build-release.ts';
import { Hook } from './hook.ts';
import { shop } from './shop.ts';

const TOKEN = 'T0000/B0000/very-secret-path';
const message = z.object({
  id: z.string(),
  event: z.literal('deployment_ended'),
  summary: z.string(),
  verdict: z.object({ gate: z.string() }).nullable(),
  receipt: receiptSchema,
});

let host: PrivateHost;
let hook: Hook;
let count = 0;

beforeAll(async () => {
  host = await PrivateHost.start();
  hook = await Hook.open();
});
afterAll(async () => {
  hook.close();
  await host.remove();
});

async function keep(name: string, value: string): Promise<void> {
  const file = join(host.dir, 'value');
  await writeFile(file, value);
  const { code, stderr } = await host.cli([
    ...['env', 'set', name, '--app', 'shop', '--no-restart', '--file', file],
  ]);
  expect(stderr).toBe('');
  expect(code).toBe(0);
}

async function deploy(notify: readonly ConfigValue[], config: ConfigOverrides = {}) {
  count += 1;
  const behaviour = { version: `v${count}` };
  const { path } = await shop(host, { behaviour, config: { ...config, notify } });
  const { stdout } = await host.cli(['push', path, '--detach', '--json']);
  const { deployment } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  return await host.receipt('shop', Number(deployment));
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  await host.until(what, 30_000, async () => holds());
}

const BAD = { smoke: [{ path: '/', contains: 'never said' }] };

test('each is told the end it asked for: webhook, Slack, ticket, command', async () => {
  const base = `http://127.0.0.1:${hook.port}`;
  await keep('SLACK_URL', `${base}/services/${TOKEN}`);
  await keep('HOOK_URL', `${base}/hook/${TOKEN}`);
  await keep('HOOK_AUTH', 'Bearer the-bearer-token');
  await keep('JIRA_URL', `http://robot:api-token@127.0.0.1:${hook.port}/rest/api/2/issue`);
  const file = join(host.dir, 'told-by-command');
  const notify = [
    { slack: 'SLACK_URL', on: ['failed', 'succeeded'] },
    { webhook: 'HOOK_URL', authorization: 'HOOK_AUTH' },
    { ticket: 'JIRA_URL', project: 'OPS', fields: { labels: ['deploy'] }, on: ['failed'] },
    { run: `printenv ZDD_NOTIFICATION >> ${file}; env | grep -c _URL >> ${file}; true` },
  ];
  const good = await deploy(notify);
  expect(good.outcome).toBe('succeeded');
  const bad = await deploy(notify, BAD);
  expect(bad.error?.code).toBe('ZDD_SMOKE_FAILED');

  await until('all to be told', () => hook.letters.length >= 5);
  const [first, second] = hook.to('/hook').map(({ body }) => message.parse(JSON.parse(body)));
  expect(first).toMatchObject({ id: 'shop#1', receipt: { outcome: 'succeeded', lost: 0 } });
  expect(first?.verdict?.gate).toBe('sequential');
  expect(second?.receipt).toEqual(bad);
  expect(hook.to('/hook')[0]?.headers).toMatchObject({
    authorization: 'Bearer the-bearer-token',
    'idempotency-key': expect.stringMatching(/^shop#1\/\d+$/),
  });
  const slack = hook
    .to('/services')
    .map(({ body }) => z.object({ text: z.string() }).parse(JSON.parse(body)).text);
  expect(slack[1]).toMatch(
    /^:x: \*shop #2 r2-\w+ failed on .+, deploy by .+\*\n> ZDD_SMOKE_FAILED: GET \/ of web\.1/,
  );
  expect(slack[1]).toContain('> traffic: untouched: 100 % on r1-');
  expect(slack[1]).not.toContain('never said');
  const [ticket, ...others] = hook.to('/rest');
  expect(others).toEqual([]);
  expect(ticket?.headers['authorization']).toBe(
    `Basic ${Buffer.from('robot:api-token').toString('base64')}`,
  );
  expect(JSON.parse(ticket?.body ?? '')).toMatchObject({
    fields: {
      project: { key: 'OPS' },
      issuetype: { name: 'Task' },
      summary: expect.stringMatching(/^shop #2 r2-\w+ failed/),
      description: expect.stringContaining('last answer'),
      labels: ['deploy'],
    },
  });
  await until(
    'the command to be run twice',
    async () => (await readFile(file, 'utf8').catch(() => '')).split('\n').length > 4,
  );
  const [said = '', variables] = (await readFile(file, 'utf8')).split('\n');
  expect(message.parse(JSON.parse(said)).id).toBe('shop#1');
  // Nothing that runs for the app is given the addresses.
  expect(variables).toBe('0');
});

test('nobody waits for an address that does not answer well; it is tried again, also after a kill', async () => {
  hook.status = 503;
  hook.letters.length = 0;
  const receipt = await deploy([{ webhook: 'HOOK_URL' }]);
  expect(receipt.outcome).toBe('succeeded');
  await until('the first try', () => hook.letters.length > 0);
  const waiting = async () =>
    (await host.cli(['status', '--json'])).stdout.includes(
      'shop: 1 message for webhook cannot be delivered: answered 503',
    );
  await until('status to say so', waiting);
  await host.stopDaemon('SIGKILL');
  hook.status = 200;
  hook.letters.length = 0;
  await host.startDaemon();
  await until('it to be told', () => hook.letters.length > 0);
  await until('nothing to be waiting', async () => !(await waiting()));
  expect(hook.letters).toHaveLength(1);
  const key = `shop#${receipt.deployment}/`;
  expect(hook.letters[0]?.headers['idempotency-key']).toContain(key);
});

test('a command that was cut by the end of the agent is run again', async () => {
  hook.letters.length = 0;
  const blocked = join(host.dir, 'blocked');
  const receipt = await deploy([
    { run: `[ -e ${blocked} ] || { touch ${blocked}; sleep 600; }`, within: '10m' },
  ]);
  await until('the command to run', async () =>
    readFile(blocked).then(
      () => true,
      () => false,
    ),
  );
  await host.stopDaemon('SIGKILL');
  await host.startDaemon();
  await until('it to be told', async () =>
    (await host.events()).some(
      (event) =>
        event.type === 'notified' &&
        event.deployment === receipt.deployment &&
        event.result === 'sent',
    ),
  );
});

test('a redirect is not followed: the secrets would go along', async () => {
  hook.status = 302;
  hook.letters.length = 0;
  await deploy([{ webhook: 'HOOK_URL' }]);
  await until('the failure to be told', async () =>
    (await host.events()).some(
      (event) => event.type === 'notified' && event.error === 'answered 302',
    ),
  );
  expect(hook.to('/elsewhere')).toEqual([]);
  hook.status = 200;
});

test('a variable that is not there is said, and told again once it is', async () => {
  hook.letters.length = 0;
  const { deployment } = await deploy([{ slack: 'LATER_URL' }]);
  await until('the failure to be told', async () =>
    (await host.events()).some(
      (event) =>
        event.type === 'notified' &&
        event.error === 'the variable LATER_URL is not kept for this app',
    ),
  );
  await keep('LATER_URL', `http://127.0.0.1:${hook.port}/later`);
  const again = await host.cli(['notify', String(deployment), '--app', 'shop']);
  expect(again.stdout).toBe(`shop #${deployment} is told again: slack\n`);
  await until('it to be told', () => hook.to('/later').length > 0);
});

test('no address or token is in the log or the events', async () => {
  const told = `${await host.log()}${JSON.stringify(await host.events())}`;
  for (const secret of [TOKEN, 'the-bearer-token', 'api-token', 'later']) {
    expect(told).not.toContain(`/${secret}`);
    expect(told).not.toContain(`:${secret}`);
  }
  expect(told).toContain('notification sent');
});

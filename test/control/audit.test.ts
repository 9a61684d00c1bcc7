import { userInfo } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AuditEntry, auditReply } from '../../agent/protocol/audit.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import manifest from '../../package.json' with { type: 'json' };
import { push } from '../deploys/shop.ts';

let host: PrivateHost;
beforeAll(async () => {
  host = await PrivateHost.start();
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
});
afterAll(async () => {
  await host.remove();
});

/** Entries after `since`, once all of them have their outcome. */
async function entries(since = 0): Promise<AuditEntry[]> {
  return await host.until('the audit to be complete', 10_000, async () => {
    const reply = auditReply.parse(await host.api('GET', '/v1/audit?lines=1000'));
    const all = reply.entries.filter(({ seq }) => seq > since);
    return all.every(({ outcome }) => outcome !== null) && all;
  });
}

async function last(): Promise<number> {
  return (await entries()).at(-1)?.seq ?? 0;
}

describe('the audit of the control API', () => {
  it('tells what a push did, who it was as the kernel says, and what the CLI claimed', async () => {
    const [deploy] = await entries();
    expect(deploy).toMatchObject({
      verb: 'deployments',
      app: 'shop',
      deployment: 1,
      outcome: 'succeeded',
      verified: { uid: userInfo().uid, user: userInfo().username },
      claimed: { owner: expect.stringContaining('@'), cli: manifest.version },
    });
    const { stdout, code } = await host.cli(['audit', '--app', 'shop']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/shop #1 deployments .*succeeded\n {4}\S+ \(uid \d+\).*, says \S+@/);
  });

  it('has one entry for each change, the refused ones too, and none for a look', async () => {
    const since = await last();
    await host.cli(['status']);
    await host.cli(['releases', 'shop']);
    await host.cli(['lock', '--app', 'shop', '--message', 'why not']);
    await push(host, { behaviour: { version: 'v1' } });
    await host.api('POST', '/v1/apps/shop/lock', { owner: 'eve' });
    await host.api('POST', '/v1/apps/shop/unlock', { nonsense: true });
    await host.cli(['unlock', '--app', 'shop']);
    await host.cli(['abort', '--app', 'nobody']);
    const told = (await entries(since)).map(
      ({ app, verb, outcome }) => `${app} ${verb} ${outcome}`,
    );
    expect(told).toEqual([
      'shop lock locked',
      ' deployments ZDD_LOCKED',
      'shop lock ZDD_LOCKED',
      'shop unlock ZDD_USAGE',
      'shop unlock unlocked',
      'nobody abort ZDD_APP_UNKNOWN',
    ]);
  });

  it('keeps no body', async () => {
    const since = await last();
    const secret = 'hunter2-is-my-password';
    await host.api('POST', '/v1/apps/shop/lock', { owner: 'me', env: { KEY: secret } });
    await host.api('POST', '/v1/apps/shop/maintenance', { on: true, page: secret });
    await host.api('POST', '/v1/apps/shop/maintenance', { on: false });
    const kept = await entries(since);
    expect(kept).toHaveLength(3);
    expect(JSON.stringify(kept)).not.toContain(secret);
  });

  it('outlives a kill, and then says that an answer is missing', async () => {
    const since = await last();
    const sent = host.api('POST', '/v1/apps/shop/maintenance', { on: true }).catch(() => undefined);
    await host.until('the act to be written down', 10_000, async () => {
      const reply = auditReply.parse(await host.api('GET', '/v1/audit'));
      return reply.entries.some(({ seq }) => seq > since);
    });
    await host.stopDaemon('SIGKILL');
    await sent;
    await host.startDaemon();
    const reply = auditReply.parse(await host.api('GET', '/v1/audit'));
    const entry = reply.entries.find(({ seq }) => seq > since);
    expect(entry).toMatchObject({ verb: 'maintenance', app: 'shop' });
    expect([null, 'on']).toContain(entry?.outcome);
  });
});

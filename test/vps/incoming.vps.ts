import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AuditEntry, auditReply } from '../../agent/protocol/audit.ts';
import type { Load } from '../../load/load.ts';
import { DISTRIBUTIONS, VpsHost } from './lab/host.ts';
import { goesOn, Shop } from './lab/shop.ts';

const INCOMING = '/var/lib/zdd-agent/incoming/shop';

describe.each(DISTRIBUTIONS)('the drop folder on %s', (distribution) => {
  let host: VpsHost;
  let shop: Shop;
  let load: Load;

  beforeAll(async () => {
    host = await VpsHost.installed(distribution, 'incoming');
    shop = new Shop(host);
    await shop.deploy('first');
    load = await shop.load();
  });
  afterAll(async () => {
    await load?.stop();
    await host?.down();
  });

  async function resultOf(name: string): Promise<Record<string, unknown>> {
    let text = '';
    await host.until(`the result of ${name}`, 60_000, async () => {
      // As the user who dropped it: results are for the group to read.
      const { stdout } = await host.as('deploy', `cat ${INCOMING}/*/${name}.result.json`);
      text = stdout;
      return text !== '';
    });
    return JSON.parse(text);
  }

  async function audit(verb: string): Promise<AuditEntry | undefined> {
    const text = await host.must('zdd-agent audit --json');
    return auditReply.parse(JSON.parse(text)).entries.findLast((entry) => entry.verb === verb);
  }

  /** As ssh-keygen tells it of the key the tests log in with. */
  async function fingerprint(): Promise<string> {
    const line = await host.must('ssh-keygen -lf /home/deploy/.ssh/authorized_keys');
    return /SHA256:\S+/.exec(line)?.[0] ?? 'none';
  }

  test('a tarball that a user of the group copies there is deployed; the audit knows the user and the key', async () => {
    const path = await shop.build({ behaviour: { version: 'dropped' } });
    await host.copyAs('deploy', join(host.root, path), `${INCOMING}/dropped.tgz`);
    expect(await resultOf('dropped.tgz')).toMatchObject({ outcome: 'done', owner: 'deploy' });
    expect((await shop.app())?.live).toMatch(/^r2-/);
    expect(await host.must(`ls -A ${INCOMING}`)).toBe('done\nfailed\ntaken\n');
    expect(await audit('incoming')).toMatchObject({
      verified: { user: 'deploy', ssh: [{ fingerprint: await fingerprint() }] },
      outcome: 'succeeded',
    });
  });

  test('the audit of a verb names the user behind the socket, whatever the client claims', async () => {
    const { code } = await host.as(
      'deploy',
      `perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new("/run/zdd-agent/agent.sock") or die; my $b = "{\\"owner\\":\\"root\\"}"; print $s "POST /v1/apps/shop/lock HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\ncontent-type: application/json\\r\\ncontent-length: " . length($b) . "\\r\\n\\r\\n$b"; print while <$s>'`,
    );
    expect(code).toBe(0);
    expect(await audit('lock')).toMatchObject({
      claimed: { owner: 'root' },
      verified: { user: 'deploy', ssh: [{ fingerprint: await fingerprint() }] },
      outcome: 'locked',
    });
    await host.must('zdd-agent unlock --app shop');
  });

  test('members can neither put links in the place of the folders nor take what others dropped', async () => {
    const attempts = [
      `mv ${INCOMING} ${INCOMING}2`,
      `ln -s /etc /var/lib/zdd-agent/incoming/other`,
      `mv ${INCOMING}/done ${INCOMING}/mine`,
      `touch ${INCOMING}/taken/x`,
    ];
    for (const attempt of attempts) expect((await host.as('deploy', attempt)).code).not.toBe(0);
  });

  test('what the agent may not read gets a result that says so', async () => {
    const path = await shop.build({ behaviour: { version: 'private' } });
    await host.as('deploy', `umask 077 && cat ${path} > ${INCOMING}/private.tgz`);
    expect(await resultOf('private.tgz')).toMatchObject({
      outcome: 'failed',
      error: { code: 'ZDD_DROP_REFUSED', message: 'the agent may not read it' },
    });
  });

  test('agent.yaml is taken over when it is written, and a wrong one is not', async () => {
    await host.must(`echo 'log_level: debug' >> /etc/zdd-agent/agent.yaml`);
    await host.until('the new level', 20_000, async () =>
      (await shop.events()).some(
        (told) => told.type === 'configuration_reloaded' && told.changed.includes('log_level'),
      ),
    );
    await host.must(`echo 'log_lovel: debug' >> /etc/zdd-agent/agent.yaml`);
    await host.until('the refusal', 20_000, async () =>
      (await shop.events()).some(
        (told) => told.type === 'configuration_reloaded' && told.error !== null,
      ),
    );
    await host.must(`sed -i '/log_lovel/d' /etc/zdd-agent/agent.yaml`);
  });

  test('no request was lost in all of this', async () => {
    await goesOn(load);
    const { lost, websocketsCutEarly } = load.snapshot();
    expect({ lost, websocketsCutEarly }).toEqual({ lost: 0, websocketsCutEarly: 0 });
    await load.stop();
  });

  test('maintenance outlives a reboot', async () => {
    await host.must('zdd-agent maintenance on --app shop');
    await host.reboot();
    await host.until('the answer', 60_000, async () => {
      const answer = await fetch(host.url).catch(() => null);
      return answer?.status === 503 && answer.headers.get('retry-after') === '300';
    });
    // HAProxy is there before the agent is.
    await host.untilSucceeds('zdd-agent maintenance off --app shop', 30_000);
    expect((await fetch(host.url)).status).toBe(200);
  });
});

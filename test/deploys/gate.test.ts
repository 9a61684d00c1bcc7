import { readFile, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { BY_RELOAD, ledgerOf, push, shop } from './shop.ts';

let host: PrivateHost;
let load: Load;
beforeAll(async () => {
  host = await PrivateHost.start();
  expect((await push(host, { behaviour: { version: 'v1' }, config: { warm: '60s' } })).code).toBe(
    0,
  );
  expect((await push(host, { behaviour: { version: 'v2' }, config: { warm: '60s' } })).code).toBe(
    0,
  );
  // All of it comes from 127.0.0.1.
  load = startLoad({ url: host.url, rate: 100, websockets: 3, ledger: ledgerOf(host) });
  await load.ready(20_000);
});
afterAll(async () => {
  await load?.stop();
  await host.remove();
});

async function cli(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await host.cli([...args, '--app', 'shop']);
  expect(code, stdout + stderr).toBe(0);
  return stdout;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly retryAfter: string | undefined;
}

/** A visitor from 127.0.0.2. */
async function visit(path = '/', agent?: Agent): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const outgoing = request(
      `${host.url}${path}`,
      { localAddress: '127.0.0.2', agent: agent ?? false },
      (incoming) => {
        let body = '';
        incoming.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        incoming.on('error', reject);
        incoming.on('end', () => {
          const status = incoming.statusCode ?? 0;
          resolve({ status, body, retryAfter: incoming.headers['retry-after'] });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end();
  });
}

/** Visits from 127.0.0.2 without a pause, on a kept connection and on new ones, until it is ended. */
class Visitor {
  readonly statuses: number[] = [];
  readonly errors: string[] = [];
  #going = true;
  readonly #ended: Promise<unknown>;

  constructor() {
    const kept = new Agent({ keepAlive: true, maxSockets: 1 });
    this.#ended = Promise.all([this.#go(kept), this.#go()]).finally(() => kept.destroy());
  }

  async #go(agent?: Agent): Promise<void> {
    while (this.#going) {
      try {
        this.statuses.push((await visit('/', agent)).status);
      } catch (error) {
        this.errors.push(String(error));
      }
      await sleep(5);
    }
  }

  async end(): Promise<void> {
    this.#going = false;
    await this.#ended;
  }
}

describe('a lock', () => {
  it('refuses a push and a rollback, and says who, why and for how long', async () => {
    expect(await cli('lock', '--message', 'looking into #812', '--for', '1h')).toContain('locked');
    const pushed = await push(host, { behaviour: { version: 'v3' } });
    expect(pushed.code).toBe(12);
    expect(pushed.stderr).toMatch(/shop is locked by .*@/);
    expect(pushed.stderr).toContain('looking into #812');
    const { path } = await shop(host, { behaviour: { version: 'v3' } });
    const unnamed = await host.cli(['push', path]);
    expect(unnamed.code).toBe(12);
    const back = await host.cli(['rollback', '--app', 'shop']);
    expect(back.code).toBe(12);
    expect(back.stderr).toContain('zdd-agent rollback --force');
    expect((await host.app('shop'))?.live).toMatch(/^r2-/);
    expect(await cli('status')).toMatch(/shop locked by .*left: looking into #812/);
  });

  it('is the same one when it is set again, and outlives the daemon', async () => {
    await cli('lock', '--message', 'still looking');
    expect(await cli('lock', '--message', 'still looking')).toContain('already locked');
    await host.stopDaemon('SIGKILL');
    await host.startDaemon();
    expect((await push(host, { behaviour: { version: 'v3' } })).stderr).toContain('still looking');
  });

  it('cannot be taken over by somebody else', async () => {
    const other = await host.api('POST', '/v1/apps/shop/lock', { owner: 'eve@desk' });
    expect(other).toMatchObject({ error: { code: 'ZDD_LOCKED' } });
  });

  it('lets a rollback through that is forced', async () => {
    await cli('rollback', '--force');
    expect((await host.app('shop'))?.live).toMatch(/^r1-/);
  });

  it('ends once, by whoever ends it', async () => {
    expect(await cli('unlock')).toContain('unlocked');
    expect(await cli('unlock')).toContain('not locked');
    expect((await push(host, { behaviour: { version: 'v3' } })).code).toBe(0);
  });

  it('ends by itself', async () => {
    await host.api('POST', '/v1/apps/shop/lock', { owner: 'me', forMs: 4_000 });
    expect((await host.app('shop'))?.lock).toMatchObject({ owner: 'me' });
    await host.until(
      'the lock to end',
      30_000,
      async () => (await host.app('shop'))?.lock === null,
    );
    await host.until('the push before to be over', 30_000, async () => {
      return (await host.app('shop'))?.deployment == null;
    });
    await cli('rollback');
  });
});

describe('maintenance', () => {
  const allow = ['--allow', '127.0.0.1'];

  it('turns visitors away and on again without an error, a reload or a lost request', async () => {
    // The networks are new to HAProxy: one reload. From then on there is none.
    expect(await cli('maintenance', 'on', ...allow)).toContain('in maintenance');
    expect(await cli('maintenance', 'off')).toContain('out of maintenance');
    const since = (await host.events()).at(-1)?.seq ?? 0;
    const visitor = new Visitor();
    for (let times = 0; times < 5; times += 1) {
      await cli('maintenance', 'on', ...allow);
      expect((await visit()).status).toBe(503);
      await cli('maintenance', 'off');
      expect((await visit()).status).toBe(200);
    }
    await visitor.end();
    expect(visitor.errors).toEqual([]);
    expect(new Set(visitor.statuses)).toEqual(new Set([200, 503]));
    const changes = (await host.events(since)).filter(({ type }) => type === 'maintenance_changed');
    expect(changes).toHaveLength(10);
    for (const change of changes) expect(change).toMatchObject({ reloaded: BY_RELOAD });
  });

  it('says already_on and already_off when told twice', async () => {
    await cli('maintenance', 'on', ...allow);
    expect(JSON.parse(await cli('maintenance', 'on', ...allow, '--json')).result).toBe(
      'already_on',
    );
    await cli('maintenance', 'off');
    expect(JSON.parse(await cli('maintenance', 'off', '--json')).result).toBe('already_off');
  });

  it('finishes requests in flight', async () => {
    const slow = visit('/slow?ms=1500');
    await host.until('the request to be there', 10_000, async () =>
      (await host.app('shop'))?.generations.some(({ requests }) => (requests ?? 0) > 0),
    );
    await cli('maintenance', 'on', ...allow);
    expect((await visit()).status).toBe(503);
    expect((await slow).status).toBe(200);
    await cli('maintenance', 'off');
  });

  it('answers with the page byte for byte, whatever is in it, and Retry-After', async () => {
    const page = `<h1>50 % "off" 'now' \\n $HOME \${X} #1</h1>\n\t<p>käse € \x01 %[src]</p>\r\n# >>> zdd-agent: managed region\nbackend x\n${'x'.repeat(11_000)}`;
    const file = join(host.dir, 'page.html');
    await writeFile(file, page);
    await cli('maintenance', 'on', ...allow, '--page', file, '--retry-after', '77');
    expect(await visit()).toEqual({ status: 503, body: page, retryAfter: '77' });
    await writeFile(file, 'x'.repeat(1 << 20));
    const large = await host.cli(['maintenance', 'on', '--page', file, '--app', 'shop']);
    expect(large.code).toBe(2);
    expect(large.stderr).toMatch(/answers with at most\s+12288/);
    const direct = await host.api('POST', '/v1/apps/shop/maintenance', {
      on: true,
      page: 'x'.repeat(13_000),
    });
    expect(direct).toMatchObject({ error: { code: 'ZDD_USAGE' } });
    expect((await visit()).retryAfter).toBe('77');
  });

  it('refuses networks that are none', async () => {
    for (const network of ['10.0.0.0/33', 'example.com', "1.1.1.1 } # '"]) {
      const { code } = await host.cli(['maintenance', 'on', '--allow', network, '--app', 'shop']);
      expect(code).toBe(2);
    }
  });

  it('goes on through a deployment, which counts nobody who was turned away as lost', async () => {
    const visitor = new Visitor();
    const { code, stdout } = await push(host, {
      behaviour: { version: 'v4' },
      config: { bake: '1s' },
    });
    expect(code).toBe(0);
    expect(stdout).toMatch(/ 0 of [\d,]+ lost/);
    await visitor.end();
    expect(visitor.errors).toEqual([]);
    expect(new Set(visitor.statuses)).toEqual(new Set([503]));
  });

  it('outlives the daemon and a HAProxy that is started anew', async () => {
    expect((await load.stop()).losses).toEqual([]);
    const record = await readFile(join(host.stateDir, 'haproxy/haproxy.process.json'), 'utf8');
    await host.stopDaemon('SIGKILL');
    process.kill(Number(JSON.parse(record).pid), 'SIGKILL');
    await host.startDaemon();
    await host.until('HAProxy to be back', 20_000, async () => {
      const answer = await visit().catch(() => null);
      return answer?.status === 503 && answer.retryAfter === '77';
    });
    expect(await cli('status')).toContain('in maintenance (503)');
  });

  it('ends by itself', async () => {
    await host.api('POST', '/v1/apps/shop/maintenance', { on: true, forMs: 4_000 });
    expect((await visit()).status).toBe(503);
    await host.until('the app to answer', 30_000, async () => (await visit()).status === 200);
    expect((await host.app('shop'))?.maintenance).toBeNull();
  });
});

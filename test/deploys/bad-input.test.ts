import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { create } from 'tar';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type CliResult, PrivateHost } from '../../demo/private-host.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { push, settled, shop } from './shop.ts';

let host: PrivateHost;
let load: Load;
let live: string | null | undefined;
beforeAll(async () => {
  host = await PrivateHost.start({ settings: { ports: { from: 23_400, to: 23_400 } } });
  expect((await push(host, { behaviour: { version: 'good' } })).code).toBe(0);
  load = startLoad({ url: host.url, rate: 100 });
  await load.ready(20_000);
  live = (await host.app('shop'))?.live;
});
afterAll(async () => {
  expect((await load.stop()).losses).toEqual([]);
  await host.remove();
});
beforeEach(async () => {
  await settled(host);
});

/** Refused with this code and exit; the release that was live still is; nothing half-done is left. */
async function refused(result: CliResult, code: string, exit: number): Promise<void> {
  expect(result.stderr).toContain(code);
  expect(result.stderr).toContain('Try:');
  expect(result.code).toBe(exit);
  await settled(host);
  expect((await host.app('shop'))?.live).toBe(live);
  expect(load.snapshot().lost).toBe(0);
  const app = join(host.stateDir, 'apps/shop');
  expect(await readdir(join(app, 'staging')).catch(() => [])).toEqual([]);
  const uploads = await readdir(join(host.stateDir, 'artifacts')).catch(() => []);
  expect(uploads.filter((name) => !/^[0-9a-f]{64}$/.test(name))).toEqual([]);
}

async function archive(name: string, files: Record<string, string>): Promise<string> {
  const folder = join(host.dir, `bad-${name}`);
  await mkdir(folder, { recursive: true });
  for (const [path, text] of Object.entries(files)) await writeFile(join(folder, path), text);
  const path = join(host.dir, `${name}.tar.gz`);
  await create({ cwd: folder, file: path, gzip: true }, Object.keys(files));
  return path;
}

describe('an artifact that is no good', () => {
  test('cut short', async () => {
    const { path, bytes } = await shop(host, { behaviour: { version: 'cut' } });
    await truncate(path, Math.floor(bytes / 2));
    await refused(await host.cli(['push', path]), 'ZDD_ARTIFACT_CORRUPT', 10);
  });

  test('not a tar', async () => {
    const path = join(host.dir, 'picture.tar.gz');
    await writeFile(path, Buffer.alloc(4_096, 7));
    await refused(await host.cli(['push', path]), 'ZDD_ARTIFACT_UNKNOWN_FORMAT', 10);
  });

  test('without zdd.yaml', async () => {
    const path = await archive('no-config', { 'server.js': '' });
    await refused(await host.cli(['push', path]), 'ZDD_CONFIG_MISSING', 10);
  });

  test('with a zdd.yaml that has problems: all are told at once, with their lines', async () => {
    const path = await archive('bad-config', {
      'zdd.yaml':
        'app: shop\nprocesses:\n  web:\n    run: node x\n    instances: two\n    heatlh: /\n',
    });
    const result = await host.cli(['push', path]);
    await refused(result, 'ZDD_CONFIG_INVALID', 10);
    expect(result.stderr).toContain('zdd.yaml:5:');
    expect(result.stderr).toContain('zdd.yaml:6:');
    expect(result.stderr).toMatch(/did you mean\s+"health"/);
  });

  test('whose bytes are not the bytes announced', async () => {
    const { path } = await shop(host, { behaviour: { version: 'digest' } });
    const body = await readFile(path);
    const reply = await new Promise<string>((resolve, reject) => {
      const outgoing = request(
        {
          socketPath: host.socket,
          method: 'POST',
          path: '/v1/artifacts',
          headers: {
            'content-type': 'application/octet-stream',
            'content-length': body.length,
            'x-zdd-sha256': 'a'.repeat(64),
          },
        },
        (incoming) => {
          let text = '';
          incoming.on('data', (chunk: Buffer) => {
            text += chunk.toString();
          });
          incoming.on('end', () => resolve(text));
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body);
    });
    expect(JSON.parse(reply)).toMatchObject({ error: { code: 'ZDD_ARTIFACT_DIGEST' } });
  });
});

describe('a release that cannot be started', () => {
  test('because its command does not exist', async () => {
    const result = await push(host, {
      behaviour: { version: 'no-command' },
      config: { processes: { web: { run: 'no-such-command --serve' } } },
    });
    await refused(result, 'ZDD_START_COMMAND_NOT_FOUND', 20);
  });

  test('because it crashes at once: its last output is shown', async () => {
    const result = await push(host, {
      behaviour: { version: 'crashes' },
      config: {
        processes: { web: { run: 'node -e \'console.error("no database"); process.exit(3)\'' } },
      },
    });
    await refused(result, 'ZDD_INSTANCE_CRASHED', 20);
    expect(result.stderr).toContain('no database');
    expect(result.stderr).toContain('exited with 3');
  });

  test('because it never becomes healthy: the last answer is shown', async () => {
    const result = await push(host, { behaviour: { version: 'sick', health: 'never' } }, [
      '--probe-timeout',
      '1s',
    ]);
    await refused(result, 'ZDD_PROBE_TIMEOUT', 20);
    expect(result.stderr).toContain('503 from GET /healthz');
  });

  test('because its release command fails', async () => {
    const result = await push(host, {
      behaviour: { version: 'migration' },
      config: { release: 'echo column exists; exit 4' },
    });
    await refused(result, 'ZDD_RELEASE_COMMAND_FAILED', 20);
    expect(result.stderr).toContain('column exists');
  });

  test('because a smoke check fails', async () => {
    const result = await push(host, {
      behaviour: { version: 'smoke' },
      config: { smoke: [{ path: '/', contains: 'nobody says this' }] },
    });
    await refused(result, 'ZDD_SMOKE_FAILED', 20);
  });

  test('because no port of the range is free', async () => {
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(23_400, '127.0.0.1', resolve));
    try {
      const result = await push(host, {
        behaviour: { version: 'ports' },
        config: { processes: { web: { listen: 'port' } } },
      });
      await refused(result, 'ZDD_PORT_IN_USE', 20);
    } finally {
      await new Promise((resolve) => squatter.close(resolve));
    }
  });
});

describe('two at once', () => {
  test('a push while the app is being deployed is refused, and says by whom', async () => {
    const { path } = await shop(host, { behaviour: { version: 'long' }, config: { bake: '60s' } });
    expect((await host.cli(['push', path, '--detach'])).code).toBe(0);
    const second = await host.cli(['push', path]);
    expect(second.code, second.stderr).toBe(12);
    expect(second.stderr).toContain('ZDD_LOCKED');
    expect(second.stderr).toMatch(/Try: zdd-agent attach \d+/);
    expect((await host.cli(['abort', '--app', 'shop'])).code).not.toBe(1);
    await settled(host);
    expect((await host.app('shop'))?.live).toBe(live);
  });

  test('of two pushes at the same moment one wins and the other is refused', async () => {
    const { path } = await shop(host, { behaviour: { version: 'race' }, config: { bake: '60s' } });
    const both = await Promise.all([
      host.cli(['push', path, '--detach']),
      host.cli(['push', path, '--detach']),
    ]);
    expect(both.map(({ code }) => code).toSorted((a, b) => a - b)).toEqual([0, 12]);
    await host.cli(['abort', '--app', 'shop']);
    await settled(host);
    expect((await host.app('shop'))?.live).toBe(live);
  });
});

describe('haproxy.cfg', () => {
  test("with a broken part of the admin's: refused before traffic is touched, the line is named", async () => {
    const path = join(host.stateDir, 'haproxy/haproxy.cfg');
    const good = await readFile(path, 'utf8');
    await writeFile(path, `${good}\nfrontend admins_own\n  bind nonsense::::\n`);
    const result = await push(host, { behaviour: { version: 'cfg' } });
    await writeFile(path, good);
    await refused(result, 'ZDD_HAPROXY_CONFIG_INVALID', 20);
    expect(result.stderr).toContain('nonsense');
  });
});

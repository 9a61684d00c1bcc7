import { execFile } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { doctorReply, type Finding } from '../../agent/protocol/api.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import { push } from '../deploys/shop.ts';

let host: PrivateHost;
let config: string;
beforeAll(async () => {
  host = await PrivateHost.start();
  config = join(host.stateDir, 'haproxy', 'haproxy.cfg');
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
});
afterAll(async () => {
  await host.remove();
});

async function examine(): Promise<readonly Finding[]> {
  return doctorReply.parse(await host.api('GET', '/v1/doctor')).findings;
}

async function find(code: string): Promise<Finding | undefined> {
  return (await examine()).find((finding) => finding.code === code && finding.level !== 'ok');
}

async function wrong(): Promise<readonly Finding[]> {
  return (await examine()).filter(({ level }) => level === 'error' || level === 'warning');
}

async function edit(change: (text: string) => string): Promise<void> {
  await writeFile(config, change(await readFile(config, 'utf8')));
}

/** Two that lack the option, one that has it, and two that need it not. */
const ADMIN_FRONTENDS = `
frontend site
  mode http
frontend a.b # theirs
  mode http
frontend calm
  mode http
  option idle-close-on-response
listen database
  mode tcp
defaults
  mode http
  option idle-close-on-response
frontend later
  timeout client 10s
`;

/** What is broken, what the doctor says, and whether it names a command that mends it. */
interface Breakage {
  readonly what: string;
  readonly breakIt: () => Promise<void>;
  readonly code: string;
  readonly level: Finding['level'];
  readonly says: RegExp;
}

const breakages: readonly Breakage[] = [
  {
    what: 'hard-stop-after shorter than a drain',
    breakIt: () => edit((text) => text.replace(/hard-stop-after .*/, 'hard-stop-after 1500')),
    code: 'haproxy_hard_stop_after',
    level: 'warning',
    says: /hard-stop-after 1\.5s cuts connections that a drain of up to .* promises to keep/,
  },
  {
    what: 'no stats maxconn',
    breakIt: () => edit((text) => text.replace(/^ *stats maxconn .*\n/m, '')),
    code: 'haproxy_stats_maxconn',
    level: 'notice',
    says: /stats maxconn is not set: 10 connections/,
  },
  {
    what: 'frontends of the admin that a reload may cut clients of',
    breakIt: () => edit((text) => `${text}\n${ADMIN_FRONTENDS}`),
    code: 'haproxy_idle_close',
    level: 'warning',
    says: /frontends site, a\.b of yours lack option idle-close-on-response/,
  },
  {
    what: 'the database readable by others',
    breakIt: () => chmod(join(host.stateDir, 'agent.db'), 0o644),
    code: 'folder_mode',
    level: 'warning',
    says: /agent\.db may be read by others \(mode 0644\)/,
  },
  {
    what: 'a control socket for everybody',
    breakIt: () => chmod(host.socket, 0o666),
    code: 'socket_mode',
    level: 'error',
    says: /everybody on this host may deploy/,
  },
];

describe('the doctor', () => {
  it('finds nothing wrong with a host on which nothing is wrong', async () => {
    expect(await wrong()).toEqual([]);
    expect((await examine()).map(({ code }) => code)).toEqual(
      expect.arrayContaining(['haproxy', 'haproxy_config', 'state', 'disk', 'memory', 'ports']),
    );
  });

  for (const { what, breakIt, code, level, says } of breakages) {
    it(`finds ${what}, and the command it names mends it`, async () => {
      await breakIt();
      const found = await find(code);
      expect(found).toMatchObject({ level, what: expect.stringMatching(says) });
      const [command = ''] = found?.tries ?? [];
      await promisify(execFile)('sh', ['-c', command.replaceAll('sudo ', '')]);
      expect(await find(code)).toBeUndefined();
    });
  }

  it('says which line of the file does not pass haproxy -c, and whose it is', async () => {
    const before = await readFile(config, 'utf8');
    await edit((text) => `nonsense here\n${text}`);
    expect(await find('ZDD_HAPROXY_CONFIG_INVALID')).toMatchObject({
      level: 'error',
      what: expect.stringMatching(/line 1, outside the managed region: .*nonsense/),
      tries: [`sed -n 1p ${config}`, `haproxy -c -f ${config}`],
    });
    await writeFile(config, before);
  });

  it('finds nothing wrong while HAProxy reloads', async () => {
    // The master refuses while it executes itself anew.
    for (let reload = 0; reload < 8; reload += 1) {
      const reloading = host.askMaster('reload');
      for (let look = 0; look < 4; look += 1) expect(await wrong()).toEqual([]);
      await reloading;
    }
  });

  it('says that releases reload HAProxy where its admin socket lets the agent only look', async () => {
    expect(await find('haproxy_switch')).toBeUndefined();
    await edit((text) => text.replace('level admin', 'level operator'));
    await host.askMaster('reload');
    const found = await host.until('the new worker', 10_000, () => find('haproxy_switch'));
    expect(found).toMatchObject({ level: 'notice', what: expect.stringContaining('level admin') });
  });
});

describe('ports of apps among those the kernel gives away', () => {
  it('are found', async () => {
    const other = await PrivateHost.start({ settings: { ports: { from: 40_000, to: 41_000 } } });
    try {
      const { findings } = doctorReply.parse(await other.api('GET', '/v1/doctor'));
      expect(findings.find(({ code }) => code === 'ports_overlap')).toMatchObject({
        level: 'warning',
        tries: [
          'sudo sysctl -w net.ipv4.ip_local_reserved_ports=40000-41000',
          expect.stringContaining('/etc/sysctl.d/'),
        ],
      });
    } finally {
      await other.remove();
    }
  });
});

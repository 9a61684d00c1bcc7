import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Histogram, merge, total } from '../../agent/core/verdict/histogram.ts';
import { structuredData } from '../../agent/haproxy/access-log/format.ts';
import { sendReload } from '../../agent/haproxy/master.ts';
import type { Haproxy, SignalTick } from '../../agent/haproxy/proxy.ts';
import {
  type Answer,
  appOf,
  freePort,
  type Lab,
  openLab,
  shop,
  soon,
  startSystemHaproxy,
  until,
} from './harness.ts';
import { rawGet } from './raw.ts';
import { openTunnel } from './websocket.ts';

const root = process.getuid?.() === 0;

let lab: Lab;
let since: number;
const endings: (() => Promise<void>)[] = [];

beforeEach(async () => {
  lab = await openLab({ accessLog: true });
  since = Date.now() - 5_000;
});

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
  await lab.close();
});

/** How a request ended: its status, or the error's code. */
function ask(
  method: string,
  path: string,
  { port = lab.port, agent = false as Agent | false, host = 'shop.test' } = {},
): Promise<string> {
  return new Promise((resolve) => {
    const sent = request({ host: '127.0.0.1', port, method, path, agent, headers: { host } });
    sent.on('response', (response) => {
      response.resume().on('end', () => resolve(String(response.statusCode)));
      response.on('error', () => resolve('cut'));
    });
    sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    sent.end();
  });
}

async function many(count: number, path: string, port = lab.port): Promise<string[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const answers = await Promise.all(
    Array.from({ length: count }, () => ask('GET', path, { port, agent })),
  );
  agent.destroy();
  return answers;
}

/** Where the agent listens, and what its lines are called. */
async function place(): Promise<{ port: number; name: string }> {
  const text = await readFile(join(lab.options.workDir, 'access-log-port'), 'utf8');
  const [port, name = ''] = text.trim().split(' ');
  return { port: Number(port), name };
}

interface Sum {
  readonly requests: number;
  readonly failed: number;
  readonly aborted: number;
  readonly websockets: number;
  readonly elsewhere: number;
  readonly latency: Histogram;
  readonly failures: Readonly<Record<string, number>>;
}

function seen(server: string, proxy: Haproxy = lab.proxy): Sum {
  const ticks = proxy.signals('shop', [server], since).servers.get(server) ?? [];
  const sum = (of: (tick: SignalTick) => number): number =>
    ticks.reduce((before, tick) => before + of(tick), 0);
  const failures: Record<string, number> = {};
  for (const [kind, count] of ticks.flatMap((tick) => [...tick.failures])) {
    failures[kind] = (failures[kind] ?? 0) + count;
  }
  return {
    requests: sum((tick) => tick.requests),
    failed: sum((tick) => tick.failed),
    aborted: sum((tick) => tick.aborted),
    websockets: sum((tick) => tick.websockets),
    elsewhere: sum((tick) => tick.elsewhere),
    latency: merge(ticks.map((tick) => tick.latency)),
    failures,
  };
}

/** Asks the counters until the account has come to something. */
async function lost(proxy: Haproxy = lab.proxy, wanted = (share: number): boolean => share === 0) {
  const began = performance.now();
  await until('the account of the lines is settled', async () => {
    await proxy.counters('shop', soon());
    const { lost: share } = proxy.signals('shop', [], since);
    return share !== null && wanted(share) && performance.now() - began > 1_500;
  });
  return proxy.signals('shop', [], since).lost;
}

const pages: Answer = (incoming, response) => {
  incoming.resume();
  switch (incoming.url?.split('?')[0]) {
    case '/broken':
      response.writeHead(500).end('no');
      return;
    case '/missing':
      response.writeHead(404).end('no');
      return;
    case '/cut':
      incoming.socket.destroy();
      return;
    case '/half':
      response.writeHead(200, { 'content-length': '100' });
      response.write('half', () => incoming.socket.destroy());
      return;
    case '/endless': {
      const timer = setInterval(() => response.write('more'), 20);
      response.on('close', () => clearInterval(timer));
      return;
    }
    case '/slow':
      setTimeout(() => response.end('late'), 150);
      return;
    case '/long':
      response.write('first');
      setTimeout(() => response.end('last'), 400);
      return;
    default:
      response.end('ok');
  }
};

describe('what HAProxy tells of a release', () => {
  beforeEach(async () => {
    await lab.proxy.open(soon());
    await lab.app('r1', pages);
    await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
  });

  it('tells failures of the release from everything else', async () => {
    expect(await ask('GET', '/')).toBe('200');
    expect(await ask('GET', '/missing')).toBe('404');
    expect(await ask('POST', '/broken')).toBe('500');
    expect(await ask('POST', '/cut')).toMatch(/502|ECONNRESET/);
    expect(await ask('GET', '/half')).toMatch(/cut|ECONNRESET/);
    const impatient = request({ host: '127.0.0.1', port: lab.port, path: '/endless' });
    impatient.on('response', (response) => response.on('error', () => undefined));
    impatient.on('response', () => impatient.destroy()).on('error', () => undefined);
    impatient.end();
    const tunnel = await openTunnel(lab.port);
    tunnel.end();
    await until('all lines have come', () => {
      const { requests, aborted, websockets } = seen('r1');
      return requests === 5 && aborted === 1 && websockets === 1;
    });
    expect(seen('r1')).toMatchObject({
      failed: 3,
      failures: { '500 POST': 1, '502 POST': 1, '200 GET': 1 },
    });
    expect(total(seen('r1').latency)).toBe(2);
  });

  it('judges the wait for the first byte, not the whole of an answer', async () => {
    expect(await many(3, '/slow')).toEqual(['200', '200', '200']);
    expect(await many(3, '/long')).toEqual(['200', '200', '200']);
    await until('all lines have come', () => seen('r1').requests === 6);
    const { latency } = seen('r1');
    const below = [...latency].filter(([bin]) => bin < 90).reduce((sum, [, n]) => sum + n, 0);
    // Bin 90 begins at 116 ms.
    expect([below, total(latency)]).toEqual([3, 6]);
  });

  it('blames a release for connections that are refused, and nobody for a missing host', async () => {
    const r2 = await lab.app('r2', pages);
    await lab.proxy.apply(shop(lab.server('r1', 0), lab.server('r2', 100)), soon());
    await r2.stop();
    expect(await ask('POST', '/')).toBe('503');
    await until('its line has come', () => seen('r2').failed > 0);
    expect(seen('r2').failures).toEqual({ '503 POST': 1 });
    await lab.proxy.apply(
      { apps: [appOf('shop', ['shop.test'], [lab.server('r1', 100)])] },
      soon(),
    );
    expect(await ask('GET', '/', { host: 'other.test' })).toBe('404');
    expect(await ask('GET', '/')).toBe('200');
    await until('the last line has come', () => seen('r1').requests === 1);
    expect(seen('r1').failed).toBe(0);
  });

  it('loses no line of 3,000 requests, through a reload too', async () => {
    await lost();
    expect(new Set(await many(1_500, '/'))).toEqual(new Set(['200']));
    const pid = /^Pid: (\d+)/m.exec(await lab.ask('show info'))?.[1];
    await sendReload(lab.master, soon());
    await until(
      'it has reloaded',
      async () => !(await lab.ask('show info')).includes(`Pid: ${pid}\n`),
    );
    expect(new Set(await many(1_500, '/'))).toEqual(new Set(['200']));
    expect(await lost()).toBe(0);
    await until('all lines have come', () => seen('r1').requests === 3_000);
    // The ring's connection must not keep the old worker.
    await until(
      'the old worker has ended',
      async () => (await lab.proxy.info(soon())).oldWorkers === 0,
    );
  });

  it('keeps what is told while the agent is away', async () => {
    await ask('GET', '/');
    await until('its line has come', () => seen('r1').requests === 1);
    await lab.proxy.close();
    expect(new Set(await many(200, '/broken'))).toEqual(new Set(['500']));
    const back = lab.again();
    await back.open(soon());
    expect(await back.inspect(shop(lab.server('r1', 100)), soon())).toEqual([]);
    await until('all lines have come', async () => {
      // HAProxy 3.0 looks for its reader again only when it has something to tell.
      await ask('GET', '/');
      // And may have written the first lines to the connection that was gone.
      return seen('r1', back).failed > 150;
    });
    expect(await lost(back)).toBe(0);
  });

  // To be somebody else needs root.
  it.runIf(root)('takes no word of somebody who is not HAProxy', async () => {
    const { port, name } = await place();
    const lie = `<134>1 2026-01-01T00:00:00+00:00 - haproxy 1 - [${name} zdd_shop r1 500 0 0 0 -- ${Date.now()} GET] x\n`;
    const script = `require('net').connect(${port}, '127.0.0.1').on('error', () => {}).on('close', () => process.exit(0)).write(${JSON.stringify(lie)})`;
    const liar = spawn('setpriv', [
      '--reuid=65534',
      '--clear-groups',
      process.execPath,
      '-e',
      script,
    ]);
    await once(liar, 'exit');
    expect(lab.log.join('\n')).toContain('its sender is not HAProxy');
    await ask('GET', '/');
    await until('a true line has come', () => seen('r1').requests > 0);
    expect(seen('r1').failed).toBe(0);
  });
});

describe('a reader that is hung', () => {
  const ROUNDS = 6;

  it('costs no request, however much is told to it', async () => {
    await lab.proxy.open(soon());
    await lab.app('r1', pages);
    await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
    const { port } = await place();
    await lab.proxy.close();
    const connections: Socket[] = [];
    const deaf = createServer({ pauseOnConnect: true }, (socket) => {
      connections.push(socket.on('error', () => undefined));
    });
    deaf.listen(port, '127.0.0.1');
    endings.push(async () => {
      for (const socket of connections) socket.destroy();
      deaf.close();
    });
    await until('HAProxy has found it', async () => {
      await ask('GET', '/');
      return connections.length > 0;
    });
    for (let round = 0; round < ROUNDS; round += 1) {
      expect(new Set(await many(5_000, '/?secret=1'))).toEqual(new Set(['200']));
    }
    // It was more than the ring and the sockets' buffers hold: lines were dropped.
    let text = '';
    for (const socket of connections) socket.on('data', (chunk) => (text += chunk)).resume();
    await until('what was kept has come', async () => {
      await ask('PATCH', '/');
      return text.includes(' PATCH]');
    });
    expect(text.split(' GET]').length).toBeLessThan(ROUNDS * 5_000);
    expect(text.split(' GET]').length).toBeGreaterThan(1_000);
    // Whoever takes the port while the agent is away learns neither paths nor clients.
    expect(text).not.toContain('secret');
    expect(text).not.toContain('127.0.0.1');
  }, 120_000);
});

describe("the system's HAProxy", () => {
  beforeEach(async () => {
    await lab.close();
    lab = await openLab({ mode: 'system', accessLog: true });
  });

  const file = (more: string): string =>
    `global
  stats socket ${lab.options.adminSocket} mode 660 level admin expose-fd listeners
  stats maxconn 100
${more}
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
`;

  it("leaves the admin's own log as it is", async () => {
    const lines: string[] = [];
    const syslog = createSocket('udp4', (message) => lines.push(message.toString()));
    syslog.bind(0, '127.0.0.1');
    await once(syslog, 'listening');
    endings.push(async () => {
      syslog.close();
    });
    const global = `  log 127.0.0.1:${syslog.address().port} local0 info\n`;
    const { stop } = await startSystemHaproxy(lab, file(global));
    endings.push(stop);
    await lab.proxy.open(soon());
    await lab.app('r1', pages);
    await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
    expect(await ask('GET', '/missing?secret=1')).toBe('404');
    await until(
      'both logs have it',
      () => seen('r1').requests === 1 && lines.some((l) => l.includes('404')),
    );
    const line = lines.find((each) => each.includes('404')) ?? '';
    // As `option httplog` has always written it, in the syslog format of old.
    expect(line).toMatch(
      /^<134>\w{3} [ \d]\d [\d:]{8} haproxy\[\d+\]: 127\.0\.0\.1:\d+ \[[^\]]+\] zdd zdd_shop\/r1 \d+\/\d+\/\d+\/\d+\/\d+ 404 \d+ - - ---- \d+\/\d+\/\d+\/\d+\/\d+ \d+\/\d+ "GET \/missing\?secret=1 HTTP\/1\.1"\n?$/,
    );
  });

  it("knows that requests by an admin's own frontend are not told", async () => {
    const port = await freePort();
    const own = `frontend mine\n  bind 127.0.0.1:${port}\n  option httplog\n  default_backend zdd_shop\n`;
    await lab.app('r1', pages);
    const { stop } = await startSystemHaproxy(lab, file(''));
    endings.push(stop);
    await lab.proxy.open(soon());
    await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
    await writeFile(
      lab.options.configPath,
      (await lab.config()).replace('# >>> zdd-agent', `${own}\n# >>> zdd-agent`),
    );
    await sendReload(lab.master, soon());
    await until('it listens', async () => (await ask('GET', '/', { port })) === '200');
    await lab.proxy.counters('shop', soon());
    expect(new Set(await many(100, '/', port))).toEqual(new Set(['200']));
    expect(await lost(lab.proxy, (share) => share === 1)).toBe(1);
    // And two lines of the admin's mend it.
    await writeFile(
      lab.options.configPath,
      (await lab.config()).replace(
        own,
        `${own}  log ring@zdd-log len 300 format rfc5424 local0\n  log-format-sd "${structuredData((await place()).name)}"\n`,
      ),
    );
    await sendReload(lab.master, soon());
    await until('lines come', async () => {
      await ask('GET', '/', { port });
      return seen('r1').requests > 0;
    });
  });

  it.runIf(root)('may run as another user in a chroot', async () => {
    const jail = join(lab.folder, 'root');
    await mkdir(jail);
    await chmod(lab.folder, 0o755);
    const global = `  chroot ${jail}\n  user haproxy\n  group haproxy\n`;
    const { stop } = await startSystemHaproxy(lab, file(global));
    endings.push(stop);
    await lab.proxy.open(soon());
    await lab.proxy.apply({ apps: [] }, soon());
    expect(await rawGet(lab.port, 'any')).toMatch(/^HTTP\/1\.1 503 /);
    const connected = async (): Promise<boolean> =>
      /127\.0\.0\.1:18[45]\d\d/.test(await lab.ask('show sess all'));
    await until('its ring is connected', connected);
    expect(lab.log.join('\n')).not.toContain('refused');
  });
});

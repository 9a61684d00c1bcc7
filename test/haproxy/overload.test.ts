import { Agent, request } from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { DesiredApp, DesiredProxy, DesiredServer } from '../../agent/haproxy/desired.ts';
import { type Lab, openLab, shop, soon, until } from './harness.ts';

let lab: Lab;

beforeEach(async () => {
  lab = await openLab();
  await lab.proxy.open(soon());
});

afterEach(() => lab.close());

function overloaded(
  overload: NonNullable<DesiredApp['overload']>,
  ...servers: readonly DesiredServer[]
): DesiredProxy {
  return { apps: shop(...servers).apps.map((app) => ({ ...app, keepsRoutes: true, overload })) };
}

const PATIENT = { queueMs: 20_000, page: null };

interface Answer {
  readonly status: number;
  readonly release: string | null;
  readonly body: string;
  readonly retryAfter: string | undefined;
}

function ask(agent: Agent | false = false): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: lab.port, agent }, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      answer.on('end', () => {
        const release = answer.headers['x-release'];
        resolve({
          status: answer.statusCode ?? 0,
          release: typeof release === 'string' ? release : null,
          body,
          retryAfter: answer.headers['retry-after'],
        });
      });
    })
      .on('error', reject)
      .end();
  });
}

/** So many clients, each of whom asks again as soon as it is answered. */
function loaded(clients: number): { answers: Answer[]; stop(): Promise<void> } {
  const answers: Answer[] = [];
  let going = true;
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const ended = Promise.all(
    Array.from({ length: clients }, async () => {
      while (going) answers.push(await ask(agent));
    }),
  );
  return {
    answers,
    async stop() {
      going = false;
      await ended;
      agent.destroy();
    },
  };
}

/** An app that tells how many requests it had at a time. */
async function counting(name: string, ms: number): Promise<{ most: () => number }> {
  let now = 0;
  let most = 0;
  await lab.app(name, (_request, response) => {
    now += 1;
    most = Math.max(most, now);
    setTimeout(() => {
      now -= 1;
      response.end(name);
    }, ms);
  });
  return { most: () => most };
}

test('an instance has maxconn requests at a time, through a switch too; the others wait and are not lost', async () => {
  const old = await counting('r1', 20);
  const limited = (name: string, weight: number) => ({ ...lab.server(name, weight), maxconn: 4 });
  await lab.proxy.apply(overloaded(PATIENT, limited('r1', 100)), soon());
  const load = loaded(40);
  await until('requests to be answered', () => load.answers.length > 200);
  const next = await counting('r2', 20);
  await lab.proxy.apply(overloaded(PATIENT, limited('r1', 0), limited('r2', 100)), soon());
  await until('answers of the new one', () => load.answers.at(-1)?.release === 'r2');
  const { length } = load.answers;
  await until('more answers', () => load.answers.length > length + 200);
  await load.stop();
  expect(load.answers.filter(({ status }) => status !== 200)).toEqual([]);
  expect([old.most(), next.most()]).toEqual([4, 4]);
});

test('who waits for an instance for too long is told to come back', async () => {
  await counting('r1', 2_000);
  const one = { ...lab.server('r1', 100), maxconn: 1 };
  await lab.proxy.apply(overloaded({ queueMs: 300, page: null }, one), soon());
  const first = ask();
  await until('it to be with the app', async () => {
    const [used] = await lab.proxy.connections('shop', ['r1'], soon());
    return used?.requests === 1;
  });
  expect(await ask()).toMatchObject({ status: 503, retryAfter: '5' });
  expect((await first).status).toBe(200);
});

test('the page of the app is what HAProxy answers with when no instance is up', async () => {
  const page =
    '<h1>Back "soon" $HOME \\ 100 %[src] </h1>\n<p>zdd-agent: end of the managed region</p>';
  const app = await lab.app('r1');
  await lab.proxy.apply(overloaded({ queueMs: 1_000, page }, lab.server('r1', 100)), soon());
  expect((await ask()).status).toBe(200);
  await app.stop();
  expect(await ask()).toMatchObject({ status: 503, body: page, retryAfter: '5' });
});

test('an instance whose answers fail is asked at once: few requests meet it until it is out', async () => {
  let sick = false;
  const checks: number[] = [];
  const sickly = await lab.app('r1', (_request, response) => {
    response.statusCode = sick ? 500 : 200;
    response.end();
  });
  sickly.server.prependListener('request', (request, response) => {
    if (!sick || request.url !== '/health') return;
    checks.push(performance.now());
    response.statusCode = 500;
  });
  await lab.app('r2');
  await lab.proxy.apply(overloaded(PATIENT, lab.server('r1', 100), lab.server('r2', 100)), soon());
  const load = loaded(4);
  await until('requests to be answered', () => load.answers.length > 100);
  sick = true;
  await until('it to be out', async () => (await statusOf('r1')).startsWith('DOWN'));
  await load.stop();
  const gaps = checks.slice(0, 3).flatMap((at, n) => (n === 0 ? [] : [at - (checks[n - 1] ?? 0)]));
  // Not 2 s, which a machine that is slow now can only make longer.
  expect(gaps).toHaveLength(2);
  expect(Math.min(...gaps)).toBeLessThan(1_500);
  expect((await ask()).status).toBe(200);
});

test('answers that fail take no instance out while its check passes', async () => {
  await lab.app('r1', (_request, response) => {
    response.statusCode = 500;
    response.end();
  });
  await lab.proxy.apply(overloaded(PATIENT, lab.server('r1', 100)), soon());
  const load = loaded(4);
  await until('many to fail', () => load.answers.length > 500);
  await load.stop();
  // An answer of HAProxy's own would be 503.
  expect(new Set(load.answers.map(({ status }) => status))).toEqual(new Set([500]));
  expect(await statusOf('r1')).toBe('UP');
});

test('an instance that comes back gets its share little by little', async () => {
  const slow = (name: string) => ({ ...lab.server(name, 100), slowStartMs: 20_000 });
  let dying = await lab.app('r1');
  await lab.app('r2');
  await lab.proxy.apply(overloaded(PATIENT, slow('r1'), slow('r2')), soon());
  // Both have just come: HAProxy gives them their whole share later.
  await lab.ask('set server zdd_shop/r2 health up');
  await dying.stop();
  await until('it to be out', async () => (await statusOf('r1')).startsWith('DOWN'));
  dying = await lab.app('r1');
  await until('it to be back', async () => (await statusOf('r1')).startsWith('UP'));
  const load = loaded(4);
  await until('enough answers', () => load.answers.length > 400);
  await load.stop();
  const of = load.answers.filter(({ release }) => release === 'r1').length;
  expect(load.answers.every(({ status }) => status === 200)).toBe(true);
  expect(of / load.answers.length).toBeLessThan(0.35);
});

async function statusOf(server: string): Promise<string> {
  const { servers } = await lab.proxy.counters('shop', soon());
  return servers.get(server)?.status ?? '';
}

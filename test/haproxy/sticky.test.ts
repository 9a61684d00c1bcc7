import { request } from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { DesiredProxy, DesiredServer } from '../../agent/haproxy/desired.ts';
import { Crowd, User } from '../deploys/users.ts';
import { type Lab, openLab, shop, soon, until } from './harness.ts';

let lab: Lab;
let url: string;

beforeEach(async () => {
  lab = await openLab();
  await lab.proxy.open(soon());
  url = `http://127.0.0.1:${lab.port}/`;
});

afterEach(() => lab.close());

/** The shop, whose users stay. */
function sticky(
  servers: readonly DesiredServer[],
  lingering: readonly string[] = [],
): DesiredProxy {
  return { apps: shop(...servers).apps.map((app) => ({ ...app, sticky: { lingering } })) };
}

async function everybodyCameAgain(crowd: Crowd): Promise<void> {
  const before = crowd.users.map(({ visits }) => visits.length);
  await until('everybody to come again', () =>
    crowd.users.every(({ visits }, index) => visits.length > (before[index] ?? 0) + 1),
  );
}

test('while two releases take traffic nobody changes; then all move once, and no cookie is left behind', async () => {
  for (const name of ['r1a', 'r1b', 'r2a']) await lab.app(name);
  const [a, b] = [lab.server('r1a', 50), lab.server('r1b', 50)];
  await lab.proxy.apply(sticky([a, b]), soon());
  const crowd = new Crowd(url, 60, 40);
  await everybodyCameAgain(crowd);
  // Added at runtime, as every release is.
  for (const weight of [10, 50, 100]) {
    await lab.proxy.apply(sticky([a, b, lab.server('r2a', weight)]), soon());
    await everybodyCameAgain(crowd);
  }
  for (const { visits } of crowd.users) {
    expect(new Set(visits.map(({ release }) => release)).size).toBe(1);
  }
  const late = await Promise.all(Array.from({ length: 30 }, () => new User().visit(url)));
  expect(late.some(({ release }) => release === 'r2a')).toBe(true);
  const moved = await lab.proxy.apply(
    sticky([lab.server('r1a', 0), lab.server('r1b', 0), lab.server('r2a', 100)]),
    soon(),
  );
  expect(moved.reloaded).toBe(false);
  await everybodyCameAgain(crowd);
  await crowd.stop();
  for (const { visits, cookies } of crowd.users) {
    expect(visits.every(({ status }) => status === 200)).toBe(true);
    const releases = visits.map(({ release }) => release);
    const changes = releases.filter((release, at) => at > 0 && release !== releases[at - 1]);
    expect(changes).toEqual(['r2a']);
    expect(cookies.get('zdd_shop')).toBe('r2a');
  }
});

test('users of a replaced release stay while it lingers, and move when it does not', async () => {
  for (const name of ['r1', 'r2']) await lab.app(name);
  await lab.proxy.apply(sticky([lab.server('r1', 100)]), soon());
  const crowd = new Crowd(url, 20, 40);
  await everybodyCameAgain(crowd);
  const both = [lab.server('r1', 0), lab.server('r2', 100)];
  await lab.proxy.apply(sticky(both, ['r1']), soon());
  await everybodyCameAgain(crowd);
  expect(crowd.shareOf('r1')).toBe(1);
  expect((await new User().visit(url)).release).toBe('r2');
  await lab.proxy.apply(sticky(both), soon());
  await everybodyCameAgain(crowd);
  expect(crowd.shareOf('r2')).toBe(1);
  await crowd.stop();
  for (const { visits } of crowd.users) {
    expect(visits.every(({ status }) => status === 200)).toBe(true);
  }
});

test('an instance that is down loses no user, and a cookie of nobody is put right', async () => {
  const dying = await lab.app('r1');
  await lab.app('r2');
  await lab.proxy.apply(sticky([lab.server('r1', 100), lab.server('r2', 100)]), soon());
  expect(await cookieFor('zdd_shop=r1')).toEqual({ status: 200, release: 'r1', cookies: [] });
  for (const stranger of ['r9', '', 'r1%3B', '%s', 'a'.repeat(2_000)]) {
    const { status, release, cookies } = await cookieFor(`zdd_shop=${stranger}_`);
    expect(status).toBe(200);
    expect(cookies).toEqual([`zdd_shop=${release}; Path=/; HttpOnly; SameSite=Lax`]);
  }
  await dying.stop();
  expect(await cookieFor('zdd_shop=r1')).toEqual({
    status: 200,
    release: 'r2',
    cookies: ['zdd_shop=r2; Path=/; HttpOnly; SameSite=Lax'],
  });
});

test('who may stay is kept true in file and runtime, through a reload too', async () => {
  await lab.app('r1');
  const wanted = sticky([lab.server('r1', 100)]);
  await lab.proxy.apply(wanted, soon());
  const map = `${lab.folder}/zdd-stays.map`;
  await lab.ask(`del map ${map} zdd_shop/r1`);
  expect(await lab.proxy.inspect(wanted, soon())).toEqual([
    { what: 'users of shop on r1: may not stay, wanted' },
  ]);
  expect((await lab.proxy.apply(wanted, soon())).reloaded).toBe(false);
  expect(await lab.proxy.inspect(wanted, soon())).toEqual([]);
  const more = {
    apps: [...wanted.apps, ...wanted.apps.map((app) => ({ ...app, app: 'b', routes: [] }))],
  };
  expect((await lab.proxy.apply(more, soon())).reloaded).toBe(true);
  expect(await cookieFor('zdd_shop=r1')).toMatchObject({ release: 'r1', cookies: [] });
});

function cookieFor(
  cookie: string,
): Promise<{ status: number; release: string; cookies: readonly string[] }> {
  return new Promise((resolve, reject) => {
    request(url, { agent: false, headers: { cookie } }, (answer) => {
      answer.resume().on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          release: String(answer.headers['x-release']),
          cookies: answer.headers['set-cookie'] ?? [],
        }),
      );
    })
      .on('error', reject)
      .end();
  });
}

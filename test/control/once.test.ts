import { fastify } from 'fastify';
import { expect, test } from 'vitest';
import { onceEach } from '../../agent/control/once.ts';

/** A server whose `/a` and `/b` count how often their work is done; a work named `refuse` fails. */
function counting() {
  const done: string[] = [];
  const server = fastify();
  const once = onceEach<{ number: number }>((id) => (id === 'before' ? { number: 100 } : null));
  for (const path of ['/a', '/b']) {
    server.post<{ Body: string }>(path, (request) =>
      once(request, async () => {
        done.push(`${path} ${request.body}`);
        if (request.body === 'refuse') throw new Error('refused');
        return { number: done.length };
      }),
    );
  }
  const ask = async (url: string, payload: string, id?: string): Promise<unknown> => {
    const headers = { 'content-type': 'text/plain', ...(id ? { 'x-zdd-request': id } : {}) };
    return (await server.inject({ method: 'POST', url, payload, headers })).json();
  };
  return { done, ask };
}

test('a request that comes again is answered as before, its work is not done again', async () => {
  const { done, ask } = counting();
  const both = await Promise.all([ask('/a', 'x', 'one'), ask('/a', 'x', 'one')]);
  expect(both).toEqual([{ number: 1 }, { number: 1 }]);
  expect(await ask('/a', 'x', 'one')).toEqual({ number: 1 });
  expect(done).toEqual(['/a x']);
});

test('another number, another path and no number at all are other requests', async () => {
  const { done, ask } = counting();
  await ask('/a', 'x', 'one');
  await ask('/b', 'x', 'one');
  await ask('/a', 'x', 'two');
  await ask('/a', 'x');
  await ask('/a', 'x');
  expect(done).toHaveLength(5);
});

test('what was refused may be asked again', async () => {
  const { done, ask } = counting();
  expect(await ask('/a', 'refuse', 'one')).toMatchObject({ statusCode: 500 });
  expect(await ask('/a', 'x', 'one')).toEqual({ number: 2 });
  expect(done).toHaveLength(2);
});

test('only the newest thousand answers are kept', async () => {
  const { done, ask } = counting();
  for (let number = 0; number <= 1_000; number += 1) await ask('/a', 'x', `${number}`);
  await ask('/a', 'x', '1000');
  expect(done).toHaveLength(1_001);
  await ask('/a', 'x', '0');
  expect(done).toHaveLength(1_002);
});

test('what a daemon before this one has done is answered, and not done again', async () => {
  const { done, ask } = counting();
  expect(await ask('/a', 'x', 'before')).toEqual({ number: 100 });
  expect(done).toEqual([]);
});

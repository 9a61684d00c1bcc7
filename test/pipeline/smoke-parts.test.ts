import { describe, expect, test } from 'vitest';
import { entranceOf } from '../../agent/haproxy/entrance.ts';
import { ownerOf } from '../../agent/pipeline/smoke/entry.ts';
import { SmokeValues } from '../../agent/pipeline/smoke/values.ts';
import { readJsonPath, valueAt } from '../../agent/protocol/json-path.ts';
import { readRoute } from '../../agent/protocol/routes.ts';

describe('a path into a JSON answer', () => {
  const answer = { data: { items: [{ id: 7 }], 'a key': true }, token: 't', nothing: null };

  test.each([
    ['token', 't'],
    ['$.token', 't'],
    ['data.items[0].id', 7],
    ['data["a key"]', true],
    ["$['data'].items", [{ id: 7 }]],
    ['$', answer],
    ['nothing', null],
    ['nothing.there', undefined],
    ['data.items[1].id', undefined],
    ['toString', undefined],
    ['data.items.length', 1],
  ])('%s', (path, value) => {
    expect(valueAt(answer, readJsonPath(path) ?? ['no path'])).toEqual(value);
  });

  test.each(['', '.', 'a..b', 'a[', 'a[x]', 'a b', '$x', '[-1]'])('%j is none', (path) => {
    expect(readJsonPath(path)).toBeNull();
  });
});

describe('whose a request is', () => {
  const apps = [
    { app: 'shop', routes: ['shop.example.com', '*.example.com'].map(readRoute) },
    { app: 'login', routes: ['shop.example.com/login', '*'].map(readRoute) },
    { app: 'deep', routes: ['*.eu.example.com/only'].map(readRoute) },
  ];

  test.each([
    ['shop.example.com', '/', 'shop'],
    ['shop.example.com', '/login', 'login'],
    ['shop.example.com', '/login?next=/', 'login'],
    ['shop.example.com', '/logins', 'shop'],
    ['a.example.com', '/login', 'shop'],
    ['a.eu.example.com', '/only/this', 'deep'],
    ['a.eu.example.com', '/else', 'shop'],
    ['example.com', '/', 'login'],
  ])('%s%s: %s', (host, path, app) => {
    expect(ownerOf(apps, host, path)).toBe(app);
  });

  test('nobody’s, where no route fits', () => {
    expect(
      ownerOf([{ app: 'a', routes: [readRoute('a.example.com/x')] }], 'a.example.com', '/y'),
    ).toBe(null);
  });
});

test('the way in is the first bind that speaks plain HTTP', () => {
  expect(entranceOf(['*:443 ssl crt /etc/x', '*:80'])).toEqual({ host: '127.0.0.1', port: 80 });
  expect(entranceOf(['[::]:8080 v4v6'])).toEqual({ host: '::1', port: 8080 });
  expect(entranceOf(['192.0.2.7:80'])).toEqual({ host: '192.0.2.7', port: 80 });
  expect(entranceOf(['unix@/run/x.sock', '*:443 ssl', '*:81 accept-proxy'])).toBeNull();
  expect(entranceOf([])).toBeNull();
});

test('secrets are hidden however an answer spells them', () => {
  const values = new SmokeValues(
    { PASSWORD: 'p"w\n1', SHORT: 'ab' },
    { KEPT: 'kept-secret', N: '1' },
  );
  values.save('token', 't/k=1');
  expect(values.get('env.PASSWORD')).toBe('p"w\n1');
  expect(values.get('env.NONE')).toBeUndefined();
  const said = `t/k=1 ${encodeURIComponent('t/k=1')} ${JSON.stringify({ p: 'p"w\n1' })} kept-secret 1`;
  expect(values.redact(said)).toBe('*** *** {"p":"***"} *** 1');
});

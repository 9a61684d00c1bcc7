import { expect, test } from 'vitest';
import { ZddError } from '../../agent/protocol/errors.ts';
import { parseAppConfig } from '../../agent/protocol/zdd-yaml.ts';

const WEB = 'app: shop\nprocesses: { web: { run: node server.js } }\n';

function problems(text: string): string[] {
  try {
    parseAppConfig(text, 'zdd.yaml');
    return [];
  } catch (error) {
    if (!(error instanceof ZddError)) throw error;
    return error.evidence.map(([where, what]) => `${where} ${what}`);
  }
}

test('it is off unless it is written, and needs only a share', () => {
  expect(parseAppConfig(WEB, 'zdd.yaml').shadow).toBeUndefined();
  expect(parseAppConfig(`${WEB}shadow: { share: 0.5% }\n`, 'zdd.yaml').shadow).toEqual({
    share: 0.005,
    for: 30_000,
    timeout: 5_000,
    headers: [],
    bodies: [],
  });
});

test('names of headers are read in lower case', () => {
  const text = `${WEB}shadow: { share: 100%, headers: [Cookie, X-Tenant], bodies: [/search] }\n`;
  expect(parseAppConfig(text, 'zdd.yaml').shadow).toMatchObject({
    share: 1,
    headers: ['cookie', 'x-tenant'],
    bodies: ['/search'],
  });
});

test.each([
  ['{ for: 5s }', 'missing'],
  ['{ share: 0% }', 'more than 0%'],
  ['{ share: 101% }', 'a share of requests'],
  ['{ share: 0.1 }', 'expected text'],
  ['{ share: 1%, for: 2h }', 'at most 1h'],
  ['{ share: 1%, timeout: 0s }', 'more than 0s'],
  // Nothing of it may end a line of haproxy.cfg, or a word.
  ['{ share: 1%, headers: ["a b"] }', 'the name of a header'],
  ['{ share: 1%, headers: ["a),debug("] }', 'the name of a header'],
  ['{ share: 1%, headers: [Content-Length] }', 'not about its connection'],
  ['{ share: 1%, headers: [x-zdd-shadow] }', 'not about its connection'],
  ['{ share: 1%, bodies: ["/a b"] }', 'expected a path'],
  ['{ share: 1%, bodies: ["/a}"] }', 'expected a path'],
])('%s is refused: %s', (written, text) => {
  const found = problems(`${WEB}shadow: ${written}\n`);
  expect(found).toHaveLength(1);
  expect(found[0]).toContain(text);
});

test('what has nothing to be copied to is refused', () => {
  const worker =
    'app: jobs\nprocesses: { worker: { run: node worker.js } }\nshadow: { share: 1% }\n';
  expect(problems(worker)).toEqual([expect.stringContaining('needs a web process')]);
  const alone = `app: shop\nprocesses: { web: { run: node server.js, overlap: false } }\nshadow: { share: 1% }\n`;
  expect(problems(alone)).toEqual([expect.stringContaining('side by side')]);
});

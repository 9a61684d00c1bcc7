import { expect, test } from 'vitest';
import { ZddError } from '../../agent/protocol/errors.ts';
import { parseAppConfig } from '../../agent/protocol/zdd-yaml.ts';

const HEAD = 'app: shop\nprocesses: { web: { run: x } }\nsmoke:\n';

function problems(checks: string): string[] {
  try {
    parseAppConfig(`${HEAD}${checks}`);
  } catch (error) {
    if (!(error instanceof ZddError)) throw error;
    return error.evidence.map(([, text]) => text);
  }
  return [];
}

test('requests and commands get the defaults of their kind', () => {
  const { smoke } = parseAppConfig(`${HEAD}  - path: /\n  - run: [npm, test]\n`);
  expect(smoke).toEqual([
    {
      path: '/',
      method: 'GET',
      headers: {},
      status: 200,
      within: 5_000,
      json: {},
      save: {},
      when: 'both',
    },
    { run: ['npm', 'test'], within: 60_000, when: 'before' },
  ]);
});

test('a name must be saved before it is used; a variable of the app needs no saving', () => {
  expect(
    problems(`
  - { path: "/\${late}" }
  - { path: /, headers: { authorization: "Bearer \${env.TOKEN}" }, save: { late: token } }
  - { path: /, method: POST, body: { deep: [{ very: "\${lat}" }] } }
  - { path: "/\${late}", contains: "\${late}" }
`),
  ).toEqual([
    'smoke[0].path: no check before this one saves late',
    'smoke[2].body: no check before this one saves lat',
  ]);
});

test('what is wrong with a check is told at its key, and no header or body is shown', () => {
  expect(
    problems(
      [
        '  - { path: /, body: secret }',
        '  - { path: /, headers: { authorization: 12 } }',
        '  - { path: /, json: { "a..b": 1 } }',
        '  - { path: /, save: { token: { heder: x } } }',
        '  - { pth: / }',
        '  - { run: x, within: 5 }',
      ].join('\n'),
    ),
  ).toMatchInlineSnapshot(`
    [
      "smoke[1].headers.authorization: expected text, got a number: put it in quotes",
      "smoke[2].json.a..b: as its name expected a path into the JSON answer, such as "user.name" or "items[0].id"",
      "smoke[3].save.token.header: missing: expected text",
      "unknown key "heder" under smoke[3].save.token: did you mean "header"?",
      "smoke[4].path: missing: expected text",
      "unknown key "pth" under smoke[4]: did you mean "path"?",
      "smoke[5].within: expected a duration such as "30s", "10m" or "1h30m", got 5",
    ]
  `);
});

import { parseEnv } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { problemsWith, problemWithName } from '../../agent/protocol/environment.ts';
import { formatDotenv, parseDotenv } from '../../cli/env/dotenv.ts';

const name = fc
  .stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,20}$/)
  .filter((text) => problemWithName(text) === null);
const value = fc.string({ unit: 'binary' });

describe('a .env file', () => {
  test.each([
    ['A=1', { A: '1' }],
    ['  export A = 1  ', { A: '1' }],
    ['A=', { A: '' }],
    ['A=1 # a comment\n# another\n\nB=2', { A: '1', B: '2' }],
    ['A=pass#word', { A: 'pass#word' }],
    ["A='it # is $HOME \\n'", { A: 'it # is $HOME \\n' }],
    ['A="two\\nlines\\t\\"q\\" \\\\ \\$x" # c', { A: 'two\nlines\t"q" \\ $x' }],
    ['A="two\nlines"\nB=\'three\n\nlines\'', { A: 'two\nlines', B: 'three\n\nlines' }],
    ['A=$HOME/x', { A: '$HOME/x' }],
    ["A=it's", { A: "it's" }],
    ['\uFEFFA=1\r\nB="x"\r\n', { A: '1', B: 'x' }],
    ['A="#"', { A: '#' }],
    ['A=#', { A: '' }],
  ])('%j', (text, values) => {
    expect(parseDotenv(text)).toEqual({ values, problems: [] });
  });

  test.each([
    ['A', 1],
    ['A=1\nnot an assignment', 2],
    ['=1', 1],
    ['A=1\n\nA=2', 3],
    ['A="open\nB=1', 1],
    ["\nA='open", 2],
    ['A="x" y', 1],
    ['A="C:\\path"', 1],
  ])('%j is refused at line %d', (text, line) => {
    const { problems } = parseDotenv(text);
    expect(problems.map((problem) => problem.line)).toEqual([line]);
  });

  test('a problem never tells what stands there', () => {
    const text = 'geheim\nA="geheim\\q"\nB="geheim" geheim\nC="geheim';
    expect(JSON.stringify(parseDotenv(text).problems)).not.toContain('geheim');
  });

  test('what list --show prints is what import reads', () => {
    fc.assert(
      fc.property(fc.dictionary(name, value), (values) => {
        const plain = { ...values };
        expect(parseDotenv(formatDotenv(plain))).toEqual({ values: plain, problems: [] });
      }),
    );
  });

  test('plain values mean what they mean to Node.js', () => {
    const plain = fc
      .stringMatching(/^[A-Za-z0-9 .,:;/@%+*?!()[\]{}<>|&^~=_-]*$/)
      // Node.js takes the next line for the value when this one has blanks only.
      .filter((text) => text === '' || text.trim() !== '');
    fc.assert(
      fc.property(fc.dictionary(name, plain), (values) => {
        const text = Object.entries(values)
          .map(([key, text]) => `${key}=${text}\n`)
          .join('');
        expect(parseDotenv(text).values).toEqual({ ...parseEnv(text) });
      }),
    );
  });
});

describe('variables that cannot be kept', () => {
  test.each([
    '1A',
    'A-B',
    'A B',
    '',
    'Ä',
    'A=B',
    'A\n',
    'ZDD_APP',
    'PORT',
    'SOCKET',
    'LISTEN_FDS',
    'NOTIFY_SOCKET',
    'IFS',
    'PPID',
    '__proto__',
    'A'.repeat(201),
  ])('the name %j', (bad) => {
    expect(problemWithName(bad)).not.toBeNull();
  });

  test.each([
    ['a NUL byte', { A: 'x\0y' }, 'A'],
    ['a lone surrogate', { A: '\ud800' }, 'A'],
    ['more than 64 KiB', { A: 'ä'.repeat(32_769) }, 'A'],
    ['too many', Object.fromEntries(Array.from({ length: 501 }, (_, n) => [`A${n}`, ''])), 'count'],
    [
      'too much',
      Object.fromEntries(Array.from({ length: 5 }, (_, n) => [`A${n}`, 'x'.repeat(60_000)])),
      'size',
    ],
  ])('%s', (_what, values, label) => {
    expect(problemsWith(values).map(([where]) => where)).toEqual([label]);
  });
});

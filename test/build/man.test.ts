import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { ERRORS, EXIT } from '../../agent/protocol/errors.ts';
import { type Page, writePage } from '../../build/man/page.ts';
import { ZDD_AGENT } from '../../build/man/zdd-agent.ts';
import { ZDD_AGENTD } from '../../build/man/zdd-agentd.ts';
import { GLOBAL_OPTIONS } from '../../cli/program.ts';
import { COMMANDS } from '../../cli/registry.ts';

const DATE = new Date('2026-05-04T03:02:01Z');

// A character that is printed once more to be bold.
const OVERSTRIKE = new RegExp(`.${String.fromCharCode(8)}`, 'gu');

const write = (page: Page) => writePage(page, '1.2.3', DATE);

function shown(page: Page): string {
  // One long line a paragraph, one space between words: what is looked for is found as a whole.
  return execFileSync('mandoc', ['-Tutf8', '-Owidth=1000'], {
    input: write(page),
    encoding: 'utf8',
  })
    .replaceAll(OVERSTRIKE, '')
    .replaceAll(/ +/g, ' ');
}

test.each([ZDD_AGENT, ZDD_AGENTD])('$name($section) is written as man(7) wants it', (page) => {
  const complaints = execFileSync('mandoc', ['-Tlint'], { input: write(page), encoding: 'utf8' });
  expect(complaints).toBe('');
});

test('zdd-agent(1) shows every command with its options, arguments and examples', () => {
  const text = shown(ZDD_AGENT);
  for (const { name, description, args, options, examples } of COMMANDS) {
    expect(text).toContain(`zdd-agent ${name}`);
    expect(text).toContain(description);
    for (const { name: arg, description: what } of args) {
      expect(text).toContain(arg);
      expect(text).toContain(what);
    }
    for (const { flags, description: what } of options) {
      expect(text).toContain(flags);
      expect(text).toContain(what);
    }
    for (const [line, what] of examples) {
      expect(text).toContain(line);
      expect(text).toContain(`# ${what}`);
    }
  }
  for (const { flags } of GLOBAL_OPTIONS) expect(text).toContain(flags);
});

test('zdd-agent(1) has every exit code and every error code', () => {
  const text = shown(ZDD_AGENT);
  for (const code of Object.values(EXIT)) expect(text).toMatch(new RegExp(`^ ${code} \\S`, 'm'));
  for (const [code, { exit, means }] of Object.entries(ERRORS)) {
    expect(text).toContain(code);
    expect(text).toContain(`${means} (exit ${exit})`);
  }
});

test('text is shown as it is, whatever of it looks like a macro, an escape or a hyphen', () => {
  const text = [".TH at the start, 'br too", 'C:\\new \\fBnot bold\\fR', '--dry-run -v "quoted"'];
  const page: Page = {
    name: 'a-page',
    section: 1,
    summary: 'with a "quoted" part',
    synopsis: ['a-page --flag'],
    sections: [
      ['A "TITLE"', text.map((each) => ({ kind: 'text', text: each }))],
      ['LINES', [{ kind: 'lines', lines: text }]],
      ['TERMS', [{ kind: 'term', term: '.x "y" \\z', text: '.hidden' }]],
    ],
  };
  const lines = shown(page);
  for (const each of [...text, 'A "TITLE"', '.x "y" \\z', '.hidden', 'with a "quoted" part']) {
    expect(lines).toContain(each);
  }
});

test('a page carries the date of the package, not that of its making', () => {
  expect(write(ZDD_AGENTD)).toContain('.TH "ZDD\\-AGENTD" 8 "2026-05-04" "zdd\\-agent 1.2.3"');
});

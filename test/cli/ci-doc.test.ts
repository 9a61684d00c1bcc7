import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { EXIT } from '../../agent/protocol/errors.ts';
import { COMMANDS } from '../../cli/registry.ts';

const page = await readFile(new URL('../../docs/ci.md', import.meta.url), 'utf8');

/** Code blocks of a language, without the indentation of the list they are in. */
function blocks(language: string): string[] {
  return [
    ...page.matchAll(new RegExp(`^( *)\`\`\`${language}\\n([\\s\\S]*?)^ *\`\`\`$`, 'gm')),
  ].map(([, indent = '', text = '']) => text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''));
}

/** Every shell script of the workflows, wherever it stands in them. */
function scriptsOf(value: unknown, key = ''): string[] {
  if (typeof value === 'string')
    return ['run', 'script', 'before_script'].includes(key) ? [value] : [];
  if (Array.isArray(value)) return value.flatMap((each) => scriptsOf(each, key));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => scriptsOf(inner, name));
}

const scripts = [...blocks('yaml').flatMap((text) => scriptsOf(parse(text))), ...blocks('sh')];

test('the workflows of docs/ci.md are YAML whose scripts a shell can read', () => {
  expect(blocks('yaml')).toHaveLength(4);
  expect(scripts.length).toBeGreaterThan(12);
  for (const script of scripts) {
    const { status, stderr } = spawnSync('bash', ['-n'], { input: script, encoding: 'utf8' });
    expect({ script, status, stderr }).toEqual({ script, status: 0, stderr: '' });
  }
});

test('what docs/ci.md types are verbs that there are', () => {
  // Of one or two words, at the start of a command or between the backticks of a sentence.
  const typed = [...page.matchAll(/(?:^\s*|- |`|run: )zdd-agent ((?:config )?[a-z]+)/gm)];
  const verbs = new Set(typed.map(([, verb]) => verb));
  expect([...verbs].sort()).toEqual(['abort', 'config check', 'doctor', 'push', 'why']);
  const known = COMMANDS.map(({ name }) => name);
  for (const verb of verbs) expect(known).toContain(verb);
});

test('docs/ci.md explains every exit code that a job can end with', () => {
  const [, table = ''] = page.split('## How to read the exit code');
  const told = [...table.matchAll(/^\| ([\d, ]+) \|/gm)].flatMap(([, codes = '']) =>
    codes.split(',').map(Number),
  );
  const codes = Object.values(EXIT).filter((code) => code !== EXIT.bug);
  expect(told.toSorted((a, b) => a - b)).toEqual(codes.toSorted((a, b) => a - b));
});

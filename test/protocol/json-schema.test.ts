import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { appConfigJsonSchema, keysAt, schemasAt } from '../../agent/protocol/json-schema.ts';

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const schema = appConfigJsonSchema();

test('templates/zdd.schema.json is the schema (else: npm run schema)', () => {
  expect(read('templates/zdd.schema.json')).toBe(`${JSON.stringify(schema, null, 2)}\n`);
});

describe('the schema', () => {
  test('knows the keys at every place, through choices, lists and maps', () => {
    expect(keysAt(schema, [])).toContain('processes');
    expect(keysAt(schema, ['processes', 'any', 'health'])).toContain('within');
    expect(keysAt(schema, ['smoke', 0])).toContain('contains');
    expect(keysAt(schema, ['env'])).toEqual([]);
    expect(keysAt(schema, ['none', 'at', 'all'])).toEqual([]);
    expect(keysAt(schema, ['toString'])).toEqual([]);
    expect(schemasAt(schema, ['processes', 'any', 'health'])).toHaveLength(2);
  });

  test('is of what people write, not of what is made of it', () => {
    expect(schemasAt(schema, ['bake'])).toMatchObject([{ type: 'string' }]);
    expect(schema).toMatchObject({ required: ['app', 'processes'], additionalProperties: false });
  });
});

test('docs/config.md has a row for every key, and for no other', () => {
  const rows = [...read('docs/config.md').matchAll(/^\| `([^`]+)` \| [^|]+ \| .+ \|$/gm)];
  const documented = rows.map(([, key]) => key);
  // Keys of several forms of the same thing have one row.
  expect(documented.toSorted()).toEqual([...new Set(keysOf([], ''))].toSorted());
});

/** Every key by its path: `processes.NAME.run`, `smoke[].path`. */
function keysOf(path: ReadonlyArray<string | number>, label: string): string[] {
  const own = keysAt(schema, path);
  const inside = (step: string | number, inner: string): string[] =>
    keysAt(schema, [...path, step]).length > 0 ? keysOf([...path, step], inner) : [];
  return [
    ...own.flatMap((key) => {
      const name = label === '' ? key : `${label}.${key}`;
      return [name, ...keysOf([...path, key], name)];
    }),
    ...inside(0, `${label}[]`),
    ...(own.length === 0 ? inside('NAME', `${label}.NAME`) : []),
  ];
}

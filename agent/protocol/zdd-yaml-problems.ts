import { z } from 'zod';
import { appConfig } from './app-config.ts';
import { duration } from './duration-field.ts';
import { appConfigJsonSchema, type JsonSchema, keysAt, schemasAt } from './json-schema.ts';
import { nearest } from './spelling.ts';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** One thing that is wrong with a configuration, in words. */
export interface Problem {
  readonly path: Path;
  /** For an unknown key: the key, in the map at `path`. */
  readonly key?: string;
  readonly text: string;
}

let schema: JsonSchema | undefined;

/** Made when there is a problem to put into words: that takes longer than checking a whole file. */
function rules(): JsonSchema {
  schema ??= appConfigJsonSchema();
  return schema;
}

/** Says in words what zod found. `value` is what was checked. */
export function problemsOf(issues: readonly Issue[], value: unknown): Problem[] {
  return issues
    .flatMap((issue) => flatten(issue, []))
    .flatMap(({ issue, path }) => {
      if (issue.code !== 'unrecognized_keys') {
        return [{ path, text: `${labelled(path)}${sentence(issue, path, value)}` }];
      }
      return issue.keys.map((key) => ({ path, key, text: unknownKey(key, path) }));
    });
}

/**
 * The rules that span several keys are checked only when each key for itself is right. This checks
 * them as if the keys that have problems were not there, so that one reading tells everything.
 */
export function crossFieldProblems(known: readonly Problem[], value: unknown): Problem[] {
  if (known.length === 0) return [];
  const rest: unknown = structuredClone(value);
  for (const { path, key } of known) drop(rest, key === undefined ? path : [...path, key]);
  const checked = appConfig.safeParse(rest, { error: () => '' });
  if (checked.success) return [];
  const spanning = checked.error.issues.filter(({ code }) => code === 'custom');
  return problemsOf(spanning, rest).filter(
    // A map may only look wrong because of what was taken out of it.
    ({ path }) =>
      !known.some((problem) => path.every((segment, at) => problem.path[at] === segment)),
  );
}

function drop(value: unknown, path: Path): void {
  // An element of a list goes with its list: the places of the others must not move.
  const listAt = path.findIndex((segment) => typeof segment === 'number');
  const steps = listAt < 0 ? path : path.slice(0, listAt);
  const last = steps.at(-1);
  const parent = valueAt(value, steps.slice(0, -1));
  if (last !== undefined && isRecord(parent)) Reflect.deleteProperty(parent, last);
}

/** A choice between forms is told by the form that was meant: the one of the same type. */
function flatten(issue: Issue, outer: Path): Array<{ issue: Issue; path: Path }> {
  const path = [...outer, ...issue.path];
  if (issue.code !== 'invalid_union') return [{ issue, path }];
  const meant = issue.errors.filter((branch) => !branch.some(isOtherType));
  const [only] = meant.toSorted((a, b) => a.length - b.length);
  if (only === undefined) return [{ issue, path }];
  return only.flatMap((inner) => flatten(inner, path));
}

function isOtherType(issue: Issue): boolean {
  if (issue.path.length > 0) return false;
  if (issue.code === 'invalid_union')
    return issue.errors.every((branch) => branch.some(isOtherType));
  return issue.code === 'invalid_type';
}

function sentence(issue: Issue, path: Path, root: unknown): string {
  const value = valueAt(root, path);
  if (issue.message !== '') {
    const aboutValue = issue.message.startsWith('expected ') && !isRecord(value);
    return aboutValue ? `${issue.message}${got(value, path)}` : issue.message;
  }
  if (issue.code === 'invalid_key') return keyExpectation(issue);
  if (value === undefined) return `missing: ${expectation(issue, path)}`;
  const quotes = issue.code === 'invalid_type' && issue.expected === 'string' && !isDuration(path);
  const hint = quotes && isBareScalar(value) ? ': put it in quotes' : '';
  return `${expectation(issue, path)}${got(value, path)}${hint}`;
}

function expectation(issue: Issue, path: Path): string {
  if (isDuration(path)) return 'expected a duration such as "30s", "10m" or "1h30m"';
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${typeName(issue.expected)}`;
    case 'too_small':
      return `expected ${bound('at least', issue.minimum, issue.origin)}`;
    case 'too_big':
      return `expected ${bound('at most', issue.maximum, issue.origin)}`;
    case 'invalid_value':
      return `expected ${either(issue.values.map((value) => JSON.stringify(value)))}`;
    case 'invalid_format':
      if (issue.format === 'starts_with') return 'expected a path that begins with "/"';
      return `expected text that matches ${issue.pattern ?? issue.format}`;
    case 'invalid_union':
      return `expected ${either([...new Set(issue.errors.flatMap(typesOf))])}`;
    default:
      return `not allowed (${issue.code})`;
  }
}

function keyExpectation({ issues, path }: z.core.$ZodIssueInvalidKey): string {
  const [first] = issues;
  if (first !== undefined && first.message !== '') return `as its name ${first.message}`;
  return path.at(-2) === 'env'
    ? 'as its name expected letters, digits and "_", no digit first'
    : 'this name is not allowed';
}

function typesOf(branch: readonly Issue[]): string[] {
  return branch.flatMap((issue) => {
    if (issue.code === 'invalid_union') return issue.errors.flatMap(typesOf);
    return issue.code === 'invalid_type' ? [typeName(issue.expected)] : [];
  });
}

function typeName(expected: string): string {
  switch (expected) {
    case 'string':
      return 'text';
    case 'int':
      return 'a whole number';
    case 'number':
      return 'a number';
    case 'boolean':
      return 'true or false';
    case 'array':
      return 'a list';
    case 'object':
    case 'record':
      return 'a map';
    default:
      return expected;
  }
}

function bound(how: string, limit: number | bigint, origin: string): string {
  if (origin === 'string') return limit === 1 ? 'text, not ""' : `${how} ${limit} characters`;
  if (origin === 'array') return `${how} ${limit} ${limit === 1 ? 'element' : 'elements'}`;
  return `${how} ${limit}`;
}

function either(choices: readonly string[]): string {
  if (choices.length < 2) return choices.join('');
  return `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
}

function unknownKey(key: string, path: Path): string {
  const guess = nearest(key, keysAt(rules(), path));
  const where = path.length === 0 ? '' : ` under ${label(path)}`;
  return `unknown key ${JSON.stringify(key)}${where}${guess === undefined ? '' : `: did you mean "${guess}"?`}`;
}

/** What was there instead. Of what may be a secret, only the type is told. */
function got(value: unknown, path: Path): string {
  if (value === undefined) return '';
  if (value === null) return ', got nothing';
  if (Array.isArray(value)) return ', got a list';
  if (typeof value === 'object') return ', got a map';
  const isSecret = ['env', 'basic_auth', 'headers', 'body'].some((key) => path.includes(key));
  if (isSecret) return `, got ${typeof value === 'string' ? 'text' : `a ${typeof value}`}`;
  const shown = JSON.stringify(value);
  return `, got ${shown.length > 60 ? `${shown.slice(0, 60)}…` : shown}`;
}

function isBareScalar(value: unknown): boolean {
  return typeof value === 'number' || typeof value === 'boolean';
}

function isDuration(path: Path): boolean {
  const durationPattern = z.toJSONSchema(duration(), { io: 'input' }).pattern;
  return schemasAt(rules(), path).some(({ pattern }) => pattern === durationPattern);
}

function labelled(path: Path): string {
  return path.length === 0 ? '' : `${label(path)}: `;
}

function label(path: Path): string {
  return path
    .map((segment, index) => {
      if (typeof segment === 'number') return `[${segment}]`;
      return index === 0 ? String(segment) : `.${String(segment)}`;
    })
    .join('');
}

function valueAt(root: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, segment) =>
      isRecord(value) && Object.hasOwn(value, segment) ? Reflect.get(value, segment) : undefined,
    root,
  );
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

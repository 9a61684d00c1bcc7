import { parse } from 'yaml';
import { ZddError } from './errors.ts';
import { strategy, type WrittenStrategy } from './strategy.ts';
import { problemsOf } from './zdd-yaml-problems.ts';

/**
 * What `push --strategy` says: as `strategy` of a `zdd.yaml`, in YAML.
 * @throws ZDD_CONFIG_INVALID when it is none
 */
export function readStrategy(text: string): WrittenStrategy {
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0 });
  } catch {
    throw refused('it is not YAML');
  }
  // The words for what is wrong are ours.
  const checked = strategy.safeParse(value, { error: () => '' });
  if (checked.success) return checked.data;
  const at = (path: readonly PropertyKey[]): PropertyKey[] => ['strategy', ...path];
  const problems = problemsOf(
    checked.error.issues.map((issue) => ({ ...issue, path: at(issue.path) })),
    { strategy: value },
  );
  throw refused(problems.map(({ text: problem }) => problem).join('; '));
}

function refused(why: string): ZddError {
  return new ZddError('ZDD_CONFIG_INVALID', `--strategy is none: ${why}`, {
    traffic: 'untouched',
    tries: [
      'zdd-agent push --strategy canary',
      "zdd-agent push --strategy '[weight: 5%, hold: 2m]'",
    ],
  });
}

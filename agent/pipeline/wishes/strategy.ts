import { parse } from 'yaml';
import { type CanaryStep, ramp, type Strategy } from '../../core/strategy.ts';
import type { AppConfig } from '../../protocol/app-config.ts';
import { ZddError } from '../../protocol/errors.ts';
import { strategy, type WrittenStep, type WrittenStrategy } from '../../protocol/strategy.ts';
import { problemsOf } from '../../protocol/zdd-yaml-problems.ts';

/**
 * How a deployment of this release moves traffic. One without a web process has no users to share.
 * @param given what the wish says instead of zdd.yaml, in YAML
 * @throws ZDD_CONFIG_INVALID when it is none
 */
export function strategyOf(config: AppConfig, given: string | undefined): Strategy {
  const written = given === undefined ? config.strategy : read(given);
  if (written.type === 'blue-green' || config.processes['web'] === undefined) {
    return { kind: 'blue-green' };
  }
  return { kind: 'canary', steps: written.steps.flatMap(stepsOf) };
}

function read(text: string): WrittenStrategy {
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

function stepsOf(step: WrittenStep): CanaryStep[] {
  switch (step.do) {
    case 'weight':
      return [{ do: 'weight', percent: step.percent }];
    case 'hold':
      return [{ do: 'hold', ms: step.ms }];
    case 'analyse':
      return [{ do: 'analyse', withinMs: step.within }];
    case 'smoke':
    case 'approval':
      return [step];
    case 'webhook':
      return [{ do: 'webhook', url: step.url, withinMs: step.within }];
    case 'ramp':
      return ramp(step.from, step.to, step.ms);
  }
}

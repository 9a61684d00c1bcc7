import type { Target } from '../../core/events.ts';
import type { AppState } from '../../core/model.ts';
import { hasRoom } from '../../core/roll.ts';
import { type CanaryStep, type Rolling, ramp, type Strategy } from '../../core/strategy.ts';
import type { AppConfig } from '../../protocol/app-config.ts';
import type { WrittenStep } from '../../protocol/canary-steps.ts';
import { ZddError } from '../../protocol/errors.ts';
import { boundsFor, rollingProblem } from '../../protocol/rolling.ts';
import { strategyRefusal, type WrittenStrategy } from '../../protocol/strategy.ts';
import { readStrategy } from '../../protocol/strategy-flag.ts';
import type { Host } from '../host.ts';
import { trafficSlots } from '../traffic.ts';

/** How a release is to come, and how many of its instances there shall be. */
export interface Rolled {
  readonly config: AppConfig;
  readonly written: WrittenStrategy;
}

/**
 * What is said of how a release comes.
 * @param given what the wish says instead of zdd.yaml, in YAML
 * @throws ZDD_CONFIG_INVALID when it is none, ZDD_ROLLING_IMPOSSIBLE
 */
export function writtenStrategy(config: AppConfig, given: string | undefined): WrittenStrategy {
  const written = given === undefined ? config.strategy : readStrategy(given);
  const why = strategyRefusal(written, config);
  if (why === null) return written;
  if (written.type === 'rolling') throw impossible(why);
  throw new ZddError('ZDD_CONFIG_INVALID', why, {
    traffic: 'untouched: nothing has changed',
    tries: ['zdd-agent push --strategy blue-green'],
  });
}

/**
 * How a deployment of this release moves traffic. One without a web process has no users to share.
 * Rolling is decided about when it begins: see `rollingFor`.
 */
export function strategyOf({ config, written }: Rolled): Strategy {
  return written.type !== 'canary' || config.processes['web'] === undefined
    ? { kind: 'blue-green' }
    : { kind: 'canary', steps: written.steps.flatMap((step) => stepsOf(step, config)) };
}

/**
 * The numbers of a rolling deployment, from what serves and what shall; null when it is none.
 * @throws ZDD_ROLLING_IMPOSSIBLE
 */
export function rollingFor(
  host: Host,
  { app, stable, scale }: AppState,
  target: Target,
  { config, written }: Rolled,
): Rolling | null {
  const { web } = config.processes;
  if (written.type !== 'rolling' || web === undefined || stable === null) return null;
  // What is warm has all its instances.
  if (target.kind === 'warm' || target.kind === 'stop') return null;
  const from = trafficSlots(host, app, stable).length;
  if (from === 0) return null;
  const wanted = target.kind === 'scale' ? target.scale : scale;
  const to = wanted['web'] ?? web.instances;
  const bounds = boundsFor(written, Math.min(from, to));
  const rolling: Rolling = { kind: 'rolling', from, to, ...bounds, watchMs: written.hold };
  if (hasRoom(rolling)) return rolling;
  throw impossible(rollingProblem(written, to) ?? 'the bounds leave no room for a first step');
}

/** As it is when what comes has served before: it is brought up so, and not looked at for long. */
export function unwatched(written: WrittenStrategy): WrittenStrategy {
  return written.type === 'rolling' ? { ...written, hold: 0 } : written;
}

function impossible(why: string): ZddError {
  return new ZddError('ZDD_ROLLING_IMPOSSIBLE', why, {
    traffic: 'untouched: nothing has changed',
    tries: [
      "zdd-agent push --strategy '{ rolling: { max_surge: 1 } }'",
      'zdd-agent push --strategy blue-green',
    ],
  });
}

function stepsOf(step: WrittenStep, { shadow }: AppConfig): CanaryStep[] {
  switch (step.do) {
    case 'weight':
      return [{ do: 'weight', percent: step.percent }];
    case 'hold':
      return [{ do: 'hold', ms: step.ms }];
    case 'analyse':
      return [{ do: 'analyse', withinMs: step.within }];
    case 'shadow': {
      // A step without it was refused.
      if (shadow === undefined) return [];
      return [{ do: 'shadow', share: step.share ?? shadow.share, ms: step.for ?? shadow.for }];
    }
    case 'smoke':
    case 'approval':
      return [step];
    case 'webhook':
      return [{ do: 'webhook', url: step.url, withinMs: step.within }];
    case 'ramp':
      return ramp(step.from, step.to, step.ms);
  }
}

import type { AppStatus } from '../../agent/protocol/api.ts';
import type { AppConfig } from '../../agent/protocol/app-config.ts';
import { hasShadowStep, stepText } from '../../agent/protocol/canary-steps.ts';
import { formatDuration } from '../../agent/protocol/duration.ts';
import { listenOf } from '../../agent/protocol/process-type.ts';
import { rollingText } from '../../agent/protocol/rolling.ts';
import { routesOf, routeText } from '../../agent/protocol/routes.ts';
import { percentText } from '../../agent/protocol/shadow.ts';
import { smokeName } from '../../agent/protocol/smoke.ts';
import { rows } from '../render/error.ts';

/** What a deploy of this config will do, as far as the config alone can tell. */
export function planLines(
  config: AppConfig,
  overrides: {
    readonly bakeMs?: number;
    readonly probeTimeoutMs?: number;
    /** Numbers of instances that hold on the host, whatever the config says. */
    readonly scaled?: AppStatus['scaled'];
  } = {},
): string[] {
  const count = (process: string, configured: number): string => {
    const scale = overrides.scaled?.find((each) => each.process === process);
    return scale === undefined ? `×${configured}` : `×${scale.instances} (scaled)`;
  };
  const processes = Object.entries(config.processes);
  const steps: [string, string][] = [['routes', routesOf(config).map(routeText).join(', ')]];
  if (config.release) steps.push(['release', shown(config.release.run)]);
  steps.push([
    'start',
    processes
      .map(
        ([name, type]) =>
          `${name} ${count(name, type.instances)}${type.overlap ? '' : ' (after the old)'}`,
      )
      .join(', '),
  ]);
  const probed = processes.filter(([name, type]) => listenOf(name, type) !== 'none');
  if (probed.length > 0) {
    steps.push([
      'probe',
      probed
        .map(([name, { health }]) => {
          const within = overrides.probeTimeoutMs ?? health?.within ?? DEFAULT_WITHIN_MS;
          return `${name} GET ${health?.path ?? '/'} within ${formatDuration(within)}`;
        })
        .join(', '),
    ]);
  }
  if (config.smoke.length > 0) {
    steps.push(['smoke', config.smoke.map(smokeName).join(', ')]);
  }
  const { strategy } = config;
  const stepwise = strategy.type === 'canary' && hasShadowStep(strategy.steps);
  if (config.shadow !== undefined && !stepwise) {
    const { share, for: forMs } = config.shadow;
    const copied = `${percentText(share)} of GET and HEAD copied for ${formatDuration(forMs)}`;
    steps.push(['shadow', copied]);
  }
  if (strategy.type === 'canary') steps.push(['canary', strategy.steps.map(stepText).join(', ')]);
  if (strategy.type === 'rolling') steps.push(['roll', rollingText(strategy)]);
  steps.push(
    ['bake', formatDuration(overrides.bakeMs ?? config.bake)],
    [
      'warm',
      strategy.type === 'rolling'
        ? 'not at all: the old instances stop as they leave'
        : `old release for ${formatDuration(config.warm)}`,
    ],
    ['drain', drained(config.drain)],
    ['keep', `${config.keep} releases`],
  );
  return rows(steps);
}

function drained({ websockets, pace, on_switch }: AppConfig['drain']): string {
  switch (on_switch) {
    case 'keep':
      return `WebSockets ${formatDuration(websockets)}, then ${pace}/s closed`;
    case 'pace':
      return `WebSockets ${pace}/s closed from the promotion on`;
    case 'close':
      return `WebSockets ${10 * pace}/s closed from the promotion on`;
  }
}

/** What `health` says when a listening process says nothing about it. */
const DEFAULT_WITHIN_MS = 30_000;

function shown(run: string | readonly string[]): string {
  return typeof run === 'string' ? run : run.join(' ');
}

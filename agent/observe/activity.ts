import type { AppState } from '../core/model.ts';

/** What the daemon is doing, in one line: `idle, 3 apps`, `shop #57 probing`. */
export function activity(states: readonly AppState[]): string {
  const busy = states.flatMap(({ app, deployment }) =>
    deployment === null ? [] : [`${app} #${deployment.id} ${deployment.phase.name}`],
  );
  if (busy.length > 0) return busy.join('; ');
  const apps = states.filter(({ stable }) => stable !== null).length;
  return `idle, ${apps} app${apps === 1 ? '' : 's'}`;
}

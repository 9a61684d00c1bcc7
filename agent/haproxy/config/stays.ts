import type { DesiredApp } from '../desired.ts';
import { backendOf } from './names.ts';

/** What the map of stays has: the servers of an app that a user may stay with. */
export function stays({ app, servers, sticky }: DesiredApp): string[] {
  if (sticky === undefined) return [];
  const serve = servers.filter(({ weight, state }) => weight > 0 && state === 'ready');
  const names = new Set([...serve.map(({ name }) => name), ...sticky.lingering]);
  return [...names].map((name) => `${backendOf(app)}/${name}`);
}

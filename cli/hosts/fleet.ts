import type { Context, Globals } from '../context.ts';
import type { Interrupts } from '../interrupt.ts';
import type { Screen } from '../render/screen.ts';
import { onCommand } from '../render/tries.ts';

/** Several hosts that a verb answers for at once. */
export interface Fleet {
  /** Of `zdd.yaml`; null when the hosts were named one by one. */
  readonly environment: string | null;
  readonly hosts: readonly FleetHost[];
  readonly globals: Globals;
  readonly screen: Screen;
  readonly interrupts: Interrupts;
}

export interface FleetHost {
  /** As it was named. */
  readonly name: string;
  /** Short, and different for each of them. */
  readonly label: string;
  readonly context: Context;
}

/**
 * Hosts as a table names them: without what they have in common. `deploy@web1.example.com` is
 * `web1` beside `deploy@web2.example.com`.
 */
export function labelsOf(names: readonly string[]): string[] {
  const short = names.map((name) => name.replace(/^ssh:\/\//, '').replace(/^.*@/, ''));
  const tries = [
    short.map((name) => (isAddress(name) ? name : (name.split(/[.:]/)[0] ?? name))),
    short.map((name) => name.replace(/:\d+$/, '')),
    short,
  ];
  return tries.find((labels) => new Set(labels).size === names.length) ?? [...names];
}

function isAddress(name: string): boolean {
  return /^[\d.]+(:\d+)?$/.test(name) || name.startsWith('[') || name.split(':').length > 2;
}

/** What to type about one of several hosts, of what its agent proposes. */
export function typedAbout({ context }: FleetHost, command: string): string {
  return onCommand(command, (own) => own + context.wayThere());
}

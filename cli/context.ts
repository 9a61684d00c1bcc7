import type { Agent } from './connect/agent.ts';
import type { Interrupts } from './interrupt.ts';
import type { Screen } from './render/screen.ts';

/** The options that every verb takes. */
export interface Globals {
  readonly app: string | undefined;
  /** SSH destinations, as typed. */
  readonly hosts: readonly string[];
  /** Of `zdd.yaml`. */
  readonly environment: string | undefined;
  /** On this machine; with SSH, on the far side. */
  readonly socket: string | undefined;
  /** Keys of hosts that are not known yet are kept and trusted. */
  readonly acceptNew: boolean;
  /** Go through this program, as a shell reads it, instead of our own SSH. */
  readonly sshCommand: string | undefined;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly color: boolean;
}

/** What a verb may use of the world around it. A verb for several hosts is run once for each. */
export interface Context {
  readonly globals: Globals;
  readonly screen: Screen;
  readonly interrupts: Interrupts;
  readonly cwd: string;
  /** Of several hosts, one after another, the first; each of the others comes after a success. */
  readonly isFirstHost: boolean;
  /**
   * The agent, not yet asked anything: the first request opens the way to it.
   * @param folder whose `zdd.yaml` says where it is; default: the nearest upward from `cwd`
   */
  agent(folder?: string): Promise<Agent>;
  /** Options, with a space before, that lead from here to the same agent: ` --host web1`. */
  wayThere(): string;
}

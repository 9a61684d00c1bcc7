import type { Context } from './context.ts';
import type { Fleet } from './hosts/fleet.ts';
import type { Input } from './input.ts';

/** One positional argument: `[ID]` is optional, `<ID>` is required, `<ID...>` may be repeated. */
export interface ArgumentSpec {
  readonly name: string;
  readonly description: string;
}

/** One option as commander reads it: `--since <when>`, `--wait [time]`. */
export interface OptionSpec {
  readonly flags: string;
  readonly description: string;
}

/**
 * One verb, declared. Help, usage errors and completion come from the declaration; what the verb
 * needs is imported inside `run`, so that help never waits for it.
 */
export interface Command {
  /** `push`, or two words for a verb of a group: `config check`. */
  readonly name: string;
  /** One line for the list of verbs. */
  readonly summary: string;
  readonly description: string;
  /** What to type, and what that does. */
  readonly examples: ReadonlyArray<readonly [string, string]>;
  readonly args: readonly ArgumentSpec[];
  readonly options: readonly OptionSpec[];
  /** The verb on whose line of the list this one is named: both are read together. */
  readonly beside?: string;
  /** No verb of a deploy: left out of the list of verbs. */
  readonly aside?: true;
  /** Goes on until something far away ends: on several hosts it runs at the same time. */
  readonly endless?: true;
  /**
   * Of a verb that changes nothing: one answer for several hosts, instead of one after the other.
   * @returns the exit code
   */
  together?(input: Input, fleet: Fleet): Promise<number>;
  /** @returns the exit code. Everything else that can happen is thrown. */
  run(input: Input, context: Context): Promise<number>;
}

import { type ErrorBody, toErrorBody, ZddError } from '../../agent/protocol/errors.ts';
import type { Agent } from '../connect/agent.ts';
import { leadingThere } from '../connect/refused-by-agent.ts';
import type { Fleet, FleetHost } from './fleet.ts';

/** What one of several hosts said. */
export type Answered<T> =
  | { readonly host: FleetHost; readonly answer: T; readonly error: null }
  | {
      readonly host: FleetHost;
      readonly answer: null;
      readonly error: ErrorBody;
      readonly exit: number;
    };

/**
 * Asks all of them at the same time. One that is out of reach is an answer as well.
 * @throws Interrupted
 */
export async function askAll<T>(
  fleet: Fleet,
  ask: (agent: Agent, host: FleetHost) => Promise<T>,
): Promise<Answered<T>[]> {
  return await Promise.all(
    fleet.hosts.map(async (host): Promise<Answered<T>> => {
      try {
        return { host, answer: await ask(await host.context.agent(), host), error: null };
      } catch (cause) {
        fleet.interrupts.signal.throwIfAborted();
        if (!(cause instanceof ZddError)) throw cause;
        const error = toErrorBody(leadingThere(cause, host.context.wayThere()));
        return { host, answer: null, error, exit: cause.exit };
      }
    }),
  );
}

/** The exit code of a verb that asked several hosts: of the first that did not answer. */
export function exitOfAll(answers: readonly Answered<unknown>[]): number {
  return answers.find((each) => each.error !== null)?.exit ?? 0;
}

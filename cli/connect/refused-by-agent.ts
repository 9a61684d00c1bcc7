import { type ErrorBody, ZddError } from '../../agent/protocol/errors.ts';
import { onCommand } from '../render/tries.ts';

/** What an agent answers when it does not do what it was asked. */
export class RefusedByAgent extends ZddError {
  constructor({ code, message, evidence, tries, traffic }: ErrorBody) {
    super(code, message, { evidence, tries, ...(traffic === undefined ? {} : { traffic }) });
  }
}

/**
 * An agent does not know from where it is asked: what it proposes to type is made to lead to it.
 * @param way options with a space before: ` --host web1`
 */
export function leadingThere(cause: unknown, way: string): unknown {
  if (!(cause instanceof RefusedByAgent) || way === '') return cause;
  const body = cause.toBody();
  const tries = body.tries.map((line) => onCommand(line, (command) => command + way));
  return new RefusedByAgent({ ...body, tries });
}

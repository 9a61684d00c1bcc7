import { ZddError } from '../../agent/protocol/errors.ts';

/** The way to an agent is refused, and asking again cannot change that: nobody waits for it. */
export class LastingError extends ZddError {}

import type { ErrorCode } from '../../agent/protocol/errors.ts';
import type { Receipt } from '../../agent/protocol/events.ts';
import { VERBS } from '../render/verbs.ts';

/** While it unpacks: a content of an earlier release is another one now, or has gone. */
const CODES: ReadonlySet<ErrorCode> = new Set(['ZDD_ARTIFACT_DIGEST', 'ZDD_ARTIFACT_UNKNOWN']);

/**
 * Whether a deployment has failed because the agent could not put the release together from what was
 * sent and what it said it had: it has to be sent whole. Traffic has not been touched then.
 */
export function hasLostItsBase({ outcome, error, steps }: Receipt): boolean {
  const whileUnpacking = steps.every(({ phase }) => phase === 'receiving');
  return outcome === 'failed' && error !== null && CODES.has(error.code) && whileUnpacking;
}

/** The line that says so, and what comes next. */
export const SENT_WHOLE = `  ! ${VERBS.unpacking}: what the host had was changed or has gone; all of it is sent`;

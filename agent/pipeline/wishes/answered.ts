import type { RequestId } from '../../core/events.ts';
import type { DeploymentReply } from '../../protocol/api.ts';
import type { Host } from '../host.ts';
import { STEERED } from './steer.ts';

/** The answer to a request that was done by a daemon which did not live to give it; else null. */
export function answeredBefore({ journal }: Host, request: RequestId): DeploymentReply | null {
  const step = journal.requested(request);
  if (step === null) return null;
  const { app, event, since } = step;
  return event.type === 'told'
    ? { app, deployment: event.deployment, result: STEERED[event.verb], since }
    : { app, deployment: event.id, result: 'started', since };
}

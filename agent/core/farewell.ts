import {
  atOnce,
  type Deployment,
  type Generation,
  isExclusive,
  type Policy,
  type Retirement,
} from './model.ts';
import type { Roll } from './roll.ts';

/** How much faster than at the pace `onSwitch: close` closes: at once would be a herd. */
const CLOSE_FACTOR = 10;

/** The release that has served, and that another serves instead of since `switchedAt`. */
export function replace(
  deployment: Deployment,
  generation: Generation,
  switchedAt: number,
  now: number,
): Retirement {
  const { policy } = deployment;
  return {
    generation,
    // What may not run beside the candidate, or has left instance by instance, has stopped before.
    phase: isExclusive(deployment) || deployment.roll !== undefined ? 'stopping' : 'draining',
    admitted: true,
    warmUntil: switchedAt + policy.warmMs,
    ...goodbye(policy, switchedAt, now),
    ...linger(deployment, switchedAt),
    good: true,
  };
}

/** A candidate on its way out. What HAProxy knows leaves by the same door as every release. */
export function reject(
  deployment: Deployment,
  generation: Generation,
  admitted: boolean,
  now: number,
): Retirement {
  const { policy, heldSince, roll } = deployment;
  return {
    generation,
    phase: admitted && heldSince === undefined && roll === undefined ? 'draining' : 'stopping',
    admitted,
    warmUntil: now,
    ...goodbye(policy, now, now),
    good: false,
  };
}

/**
 * The instances of a generation that leave while others of it may still serve. Those of a candidate
 * that goes back keep nobody until a deadline: it was not to be.
 */
export function partly(generation: Generation, { back, since }: Roll, policy: Policy): Retirement {
  const soon = atOnce(generation, policy, since);
  return back ? { ...soon, good: false } : { ...soon, ...goodbye(policy, since, since) };
}

/** Users who stay have requests that begin after the switch: these have their own time. */
function linger(
  deployment: Deployment,
  switchedAt: number,
): Partial<Pick<Retirement, 'lingersUntil' | 'requestsUntil'>> {
  const { lingerMs, requestsMs } = deployment.policy;
  if (lingerMs === undefined || isExclusive(deployment)) return {};
  const lingersUntil = switchedAt + lingerMs;
  return { lingersUntil, requestsUntil: lingersUntil + requestsMs };
}

/** How the connections of a generation end that takes no new requests since `switchedAt`. */
function goodbye(
  policy: Policy,
  switchedAt: number,
  now: number,
): Pick<Retirement, 'requestsUntil' | 'requestsMs' | 'closeFrom' | 'pacePerSecond'> {
  const { requestsMs, websocketsMs, pacePerSecond, onSwitch } = policy;
  const deadline = switchedAt + websocketsMs;
  return {
    requestsUntil: switchedAt + requestsMs,
    requestsMs,
    closeFrom: onSwitch === 'pace' || onSwitch === 'close' ? Math.min(now, deadline) : deadline,
    pacePerSecond: onSwitch === 'close' ? pacePerSecond * CLOSE_FACTOR : pacePerSecond,
  };
}

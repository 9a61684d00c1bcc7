import { formatDuration } from '../../protocol/duration.ts';
import { ZddError } from '../../protocol/errors.ts';
import type { Lock } from '../../store/locks.ts';
import type { Host } from '../host.ts';

/** What `zdd-agent lock` says. */
export interface LockWish {
  readonly owner: string;
  readonly message: string;
  /** How long, ms; null: until `unlock`. */
  readonly forMs: number | null;
}

/**
 * Keeps everybody from deploying, restarting or scaling the app. By the same owner once more it
 * takes the new message and time over.
 * @returns `locked`, or `already_locked` when nothing differs
 * @throws ZDD_LOCKED when somebody else holds it
 */
export function lockApp(
  host: Host,
  app: string,
  { owner, message, forMs }: LockWish,
): 'locked' | 'already_locked' {
  const now = host.now();
  const before = host.locks.find(app);
  if (before !== null && before.owner !== owner) throw lockedByHand(host, app, before);
  if (before !== null && before.message === message && before.until === null && forMs === null) {
    return 'already_locked';
  }
  const until = forMs === null ? null : now + forMs;
  host.locks.set(app, { owner, message, since: before?.since ?? now, until });
  host.journal.tell({ type: 'app_locked', app, deployment: null, owner, message, until });
  return 'locked';
}

/** @returns `unlocked`, or `already_unlocked` */
export function unlockApp(host: Host, app: string, owner: string): 'unlocked' | 'already_unlocked' {
  if (host.locks.find(app) === null) return 'already_unlocked';
  host.locks.remove(app);
  host.journal.tell({ type: 'app_unlocked', app, deployment: null, owner });
  return 'unlocked';
}

/**
 * To be asked before anything begins that deploys, restarts or scales.
 * @param tries what else the refused may do
 * @throws ZDD_LOCKED saying who, why and since when
 */
export function assertUnlocked(host: Host, app: string, tries: readonly string[] = []): void {
  const lock = host.locks.find(app);
  if (lock !== null) throw lockedByHand(host, app, lock, tries);
}

function lockedByHand(
  { now, journal }: Host,
  app: string,
  { owner, message, since, until }: Lock,
  tries: readonly string[] = [],
): ZddError {
  const { stable } = journal.state(app);
  const ends = until === null ? '' : `, for another ${formatDuration(until - now())}`;
  return new ZddError(
    'ZDD_LOCKED',
    `${app} is locked by ${owner} (${formatDuration(now() - since)} ago${ends})`,
    {
      evidence: message === '' ? [] : [['why', message]],
      ...(stable === null ? {} : { traffic: `100 % on ${stable.release}` }),
      tries: [`zdd-agent unlock --app ${app}`, ...tries],
    },
  );
}

import { type AppState, generationsOf, type ReleaseId, standingRelease } from './model.ts';

/** A release on disk. */
export interface KeptRelease {
  readonly release: ReleaseId;
  /** Grows with each release of the app. */
  readonly number: number;
  readonly bytes: number;
  /** It was stable once: a rollback may want it. */
  readonly good: boolean;
}

/** How much is kept. */
export interface Budget {
  /** Releases kept at the most. Those that must stay count, but are never deleted for it. */
  readonly releases: number;
  /** Bytes kept at the most; the last good release is kept whatever its size. */
  readonly bytes: number;
}

/**
 * The releases to delete, oldest first. Never one that serves, is warm, drains or is being deployed,
 * and never the last good one besides: failed deploys cannot evict the way back.
 */
export function toPrune(
  releases: readonly KeptRelease[],
  state: AppState,
  budget: Budget,
): ReleaseId[] {
  const inUse = releasesInUse(state);
  const newestFirst = releases.toSorted((a, b) => b.number - a.number);
  const lastGood = newestFirst.find(({ good, release }) => good && !inUse.has(release));
  let count = 0;
  let bytes = 0;
  const pruned: ReleaseId[] = [];
  for (const kept of keepOrder(newestFirst, inUse, lastGood)) {
    count += 1;
    bytes += kept.bytes;
    const untouchable = inUse.has(kept.release) || kept === lastGood;
    if (!untouchable && (count > budget.releases || bytes > budget.bytes)) {
      count -= 1;
      bytes -= kept.bytes;
      pruned.push(kept.release);
    }
  }
  return pruned.toReversed();
}

/** Releases that some generation of this app runs, or is about to run, and the one that is stopped. */
export function releasesInUse(state: AppState): Set<ReleaseId> {
  const inUse = new Set(generationsOf(state).map(({ release }) => release));
  const standing = standingRelease(state);
  return standing === null ? inUse : inUse.add(standing);
}

/** What must stay comes first, so that it is what the budget is spent on; then the newest good. */
function keepOrder(
  newestFirst: readonly KeptRelease[],
  inUse: ReadonlySet<ReleaseId>,
  lastGood: KeptRelease | undefined,
): KeptRelease[] {
  const rank = (kept: KeptRelease): number => {
    if (inUse.has(kept.release)) return 0;
    if (kept === lastGood) return 1;
    return kept.good ? 2 : 3;
  };
  return newestFirst.toSorted((a, b) => rank(a) - rank(b));
}

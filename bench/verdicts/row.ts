/** What traffic truly does in one case, for a candidate and for stable. */
export interface Truth {
  /** Requests a second on the candidate; as many are on stable. */
  readonly rps: number;
  /** Of the candidate's requests, the share that fails. */
  readonly trueErrorRate: number;
  /** Added to every wait of the candidate, ms. */
  readonly latencyShift: number;
  /** `bad`: stable fails in 6 of 100 as well. */
  readonly stable: 'good' | 'bad';
}

export const BAD_STABLE = 0.06;

/** How one run ended. `inconclusive`: undecided, held because stable is as bad, or slower: paused. */
export interface Run {
  readonly end: 'fail' | 'pass' | 'inconclusive';
  readonly seconds: number;
  readonly requests: number;
}

/** All runs of one case. */
export interface VerdictRow extends Truth {
  /** Simulated traffic and clock through the same rules, or real traffic through HAProxy. */
  readonly by: 'simulation' | 'haproxy';
  readonly runs: number;
  readonly fail: number;
  readonly pass: number;
  readonly inconclusive: number;
  /** Of runs that failed or passed; null when none did. */
  readonly medianSecondsToVerdict: number | null;
  readonly medianRequestsToVerdict: number | null;
}

export function rowOf(truth: Truth, by: VerdictRow['by'], runs: readonly Run[]): VerdictRow {
  const count = (end: Run['end']): number => runs.filter((run) => run.end === end).length;
  const decided = runs.filter(({ end }) => end !== 'inconclusive');
  return {
    ...truth,
    by,
    runs: runs.length,
    fail: count('fail'),
    pass: count('pass'),
    inconclusive: count('inconclusive'),
    medianSecondsToVerdict: median(decided.map(({ seconds }) => seconds)),
    medianRequestsToVerdict: median(decided.map(({ requests }) => requests)),
  };
}

function median(values: readonly number[]): number | null {
  const middle = values.toSorted((a, b) => a - b)[values.length >> 1];
  return middle === undefined ? null : Math.round(middle * 10) / 10;
}

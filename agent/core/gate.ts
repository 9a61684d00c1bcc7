/** The limits a candidate is held to while it bakes. */
export interface Limits {
  /** Share of bad requests, 0 to 1, that fails the candidate. */
  readonly errorRate: number;
  /** No verdict on the rate below this many requests ... */
  readonly minRequests: number;
  /** ... and this many errors. */
  readonly minErrors: number;
  /** Failed probes in a row that fail the candidate. */
  readonly failedProbes: number;
}

/** What was seen of the candidate since the switch. */
export interface Sample {
  /** Requests HAProxy sent to the candidate. */
  readonly requests: number;
  /** 5xx answers of the candidate, and requests HAProxy could not get answered by it. */
  readonly errors: number;
  /** Times an instance of the candidate ended by itself. */
  readonly crashes: number;
  /** Failed probes in a row, the worst of its instances. */
  readonly failedProbes: number;
}

/** A judgement, with everything needed to explain it. */
export type Verdict =
  | { readonly verdict: 'pass' }
  | {
      readonly verdict: 'fail';
      readonly metric: 'crashes' | 'failed probes' | 'error rate';
      readonly value: number;
      readonly threshold: number;
      /** Observations the value rests on. */
      readonly n: number;
    };

/** Judges one sample. A crash outranks probes, probes outrank the error rate. */
export function judge(sample: Sample, limits: Limits): Verdict {
  if (sample.crashes > 0) {
    return fail('crashes', sample.crashes, 0, sample.crashes);
  }
  if (sample.failedProbes >= limits.failedProbes) {
    return fail('failed probes', sample.failedProbes, limits.failedProbes, sample.failedProbes);
  }
  const rate = sample.requests === 0 ? 0 : sample.errors / sample.requests;
  const enough = sample.requests >= limits.minRequests && sample.errors >= limits.minErrors;
  if (enough && rate > limits.errorRate) {
    return fail('error rate', rate, limits.errorRate, sample.requests);
  }
  return { verdict: 'pass' };
}

function fail(
  metric: 'crashes' | 'failed probes' | 'error rate',
  value: number,
  threshold: number,
  n: number,
): Verdict {
  return { verdict: 'fail', metric, value, threshold, n };
}

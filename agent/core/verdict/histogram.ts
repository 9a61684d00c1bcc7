/**
 * Latencies in bins: bin -> how many. Whole milliseconds up to 31, from there 32 bins to each
 * doubling, so a value is known to 3 % of itself.
 */
export type Histogram = ReadonlyMap<number, number>;

/** Bins there are: everything from 2^20 ms (17 minutes) on is in the last one. */
export const BINS = 512;
const EXACT = 32;
const EXACT_BITS = 5;

/** The bin of a latency. @param ms whole milliseconds; below 0 counts as 0 */
export function binOf(ms: number): number {
  if (ms < EXACT) return ms > 0 ? Math.floor(ms) : 0;
  const octave = 31 - Math.clz32(Math.min(ms, 2 ** 30));
  const step = Math.floor(ms / 2 ** (octave - EXACT_BITS)) - EXACT;
  return Math.min(BINS - 1, EXACT + (octave - EXACT_BITS) * EXACT + step);
}

/** The smallest latency of a bin, ms. */
export function lowerBound(bin: number): number {
  if (bin < EXACT) return bin;
  const octave = Math.floor((bin - EXACT) / EXACT);
  return (EXACT + ((bin - EXACT) % EXACT)) * 2 ** octave;
}

/** The largest whole latency of a bin, ms. */
export function upperBound(bin: number): number {
  return lowerBound(bin + 1) - 1;
}

/** All of them together. */
export function merge(histograms: Iterable<Histogram>): Histogram {
  const sum = new Map<number, number>();
  for (const histogram of histograms) {
    for (const [bin, count] of histogram) sum.set(bin, (sum.get(bin) ?? 0) + count);
  }
  return sum;
}

export function total(histogram: Histogram): number {
  let sum = 0;
  for (const count of histogram.values()) sum += count;
  return sum;
}

/** How many were certainly slower than this: those of bins that lie wholly above it. */
export function slowerThan(histogram: Histogram, ms: number): number {
  let sum = 0;
  for (const [bin, count] of histogram) if (lowerBound(bin) > ms) sum += count;
  return sum;
}

/**
 * The value that this share of all latencies does not exceed (nearest rank), as the upper end of
 * its bin, ms. For what may be shown see `percentile`.
 * @param share 0 to 1
 */
export function quantile(histogram: Histogram, share: number): number {
  const rank = Math.max(1, Math.ceil(share * total(histogram) - 1e-9));
  let seen = 0;
  let last = 0;
  for (const [bin, count] of [...histogram].sort(([a], [b]) => a - b)) {
    seen += count;
    last = upperBound(bin);
    if (seen >= rank) return last;
  }
  return last;
}

/** Percentiles and the fewest latencies that say anything about them. */
export const MIN_COUNT = { 50: 5, 95: 59, 99: 299 } as const;
export type Percentile = keyof typeof MIN_COUNT;

/**
 * A percentile in ms, null when there are too few latencies for it: with 299 the largest is above
 * the true P99 with 95 % certainty, with fewer it may lie anywhere (1 - 0.99^299 = 0.95; 59 for P95).
 */
export function percentile(histogram: Histogram, which: Percentile): number | null {
  return total(histogram) < MIN_COUNT[which] ? null : quantile(histogram, which / 100);
}

/** `p99 84 ms`, or that n is too small for it. */
export function tellPercentile(histogram: Histogram, which: Percentile): string {
  const value = percentile(histogram, which);
  return value === null
    ? `p${which}: n too small (${total(histogram)} of ${MIN_COUNT[which]})`
    : `p${which} ${value} ms`;
}

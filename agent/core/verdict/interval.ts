import { Z95 } from './special.ts';
import type { Interval } from './verdict.ts';

/** Wilson's 95 % interval of a share: sound for few observations and for none bad. */
export function wilson(bad: number, n: number): Interval {
  if (n === 0) return { low: 0, high: 1 };
  const share = bad / n;
  const z2 = Z95 * Z95;
  const centre = share + z2 / (2 * n);
  const half = Z95 * Math.sqrt((share * (1 - share)) / n + z2 / (4 * n * n));
  const scale = 1 + z2 / n;
  return {
    low: bad === 0 ? 0 : Math.max(0, (centre - half) / scale),
    high: bad === n ? 1 : Math.min(1, (centre + half) / scale),
  };
}

import type { LogLine } from '../../agent/protocol/api.ts';

/** Where a followed stream of output is. */
export interface LogPlace {
  /** Call before asking again. @returns whether anything came before. */
  resume(): boolean;
  /** @returns false for a line that came before the drop already. */
  isNew(line: LogLine): boolean;
}

/**
 * Lines of output have no number, so the place in a stream is the time of the last line and how
 * many lines came at exactly that time.
 */
export function logPlace(): LogPlace {
  let at = -1;
  let count = 0;
  let skip = 0;
  return {
    resume(): boolean {
      skip = count;
      return at >= 0;
    },
    isNew(line: LogLine): boolean {
      if (line.at < at) return skip === 0;
      if (line.at === at && skip > 0) {
        skip -= 1;
        return false;
      }
      if (line.at > at) {
        at = line.at;
        count = 0;
      }
      skip = 0;
      count += 1;
      return true;
    },
  };
}

/** What the clients do; `websocket` is the opening handshake of one. */
export const KINDS = ['busy', 'idle', 'fresh', 'slow', 'upload', 'stream', 'websocket'] as const;
export type Kind = (typeof KINDS)[number];

/**
 * Why a request counts as lost.
 * - `refused`: nobody took the connection.
 * - `reset`: the connection ended before an answer began, on a reused connection as well.
 * - `cut`: the answer began and did not come to its end.
 * - `timeout`: no whole answer before the deadline.
 * - `proxy502`, `proxy503`, `proxy504`, `proxyOther`: an answer that the app never gave, known by
 *   the lack of its `x-release` header.
 * - `wrong`: a whole answer of the app to something else than what was asked.
 */
export const LOST_REASONS = [
  'refused',
  'reset',
  'cut',
  'timeout',
  'proxy502',
  'proxy503',
  'proxy504',
  'proxyOther',
  'wrong',
] as const;
export type LostReason = (typeof LOST_REASONS)[number];

/** `appError`: the app itself answered, with a status of 400 or more. */
export type Outcome = 'ok' | 'appError' | LostReason;
export const OUTCOMES: readonly Outcome[] = ['ok', 'appError', ...LOST_REASONS];

/** One request and what became of it. Times are ms since the epoch, from a monotonic clock. */
export interface RequestRecord {
  readonly kind: Kind;
  readonly start: number;
  /** When the head of the answer arrived; the end when none did. */
  readonly firstByte: number;
  readonly end: number;
  /** 0 when no answer began. */
  readonly status: number;
  /** The `x-release` of the answer; empty when it had none. */
  readonly release: string;
  readonly outcome: Outcome;
  /** The request went over a connection that had carried another one before. */
  readonly reused: boolean;
  /** For people: the error, or the beginning of an unexpected answer. Empty when it is ok. */
  readonly detail: string;
}

/** Milliseconds since the epoch that never jump. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

export function isLost(outcome: Outcome): outcome is LostReason {
  return outcome !== 'ok' && outcome !== 'appError';
}

/** Judges the head of an answer; what it cannot refuse is still to be judged by its body. */
export function judgeHead(status: number, release: string): Outcome {
  if (release === '') return proxyReason(status);
  return status >= 400 ? 'appError' : 'ok';
}

/** Judges an error of the connection. `answered`: the head of an answer had arrived. */
export function judgeError(error: unknown, answered: boolean): LostReason {
  if (answered) return 'cut';
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'EAGAIN' ? 'refused' : 'reset';
}

function proxyReason(status: number): LostReason {
  switch (status) {
    case 502:
      return 'proxy502';
    case 503:
      return 'proxy503';
    case 504:
      return 'proxy504';
    default:
      return 'proxyOther';
  }
}

/** What is known of one name that a certificate is to be issued for. */
export interface Renewal {
  /** Both ends of the life of the certificate it has, ms since the epoch; null: it has none. */
  readonly life: { readonly notBefore: number; readonly notAfter: number } | null;
  /** Tries that have failed since the last success, and when the last one did; null: none. */
  readonly failed: { readonly count: number; readonly at: number } | null;
}

/** By then a third of its life is left: enough for many tries and for people to be told. */
const RENEW_AT = 2 / 3;
/** Over this part of its life renewals are spread, so that a thousand hosts do not come at once. */
const SPREAD = 1 / 20;
/**
 * The pause after the first failure, doubled with each, ms. Let's Encrypt takes five failures an
 * hour for a name: this makes four.
 */
const FIRST_PAUSE_MS = 5 * 60_000;
const LAST_PAUSE_MS = 12 * 3_600_000;

/**
 * When the next try is due, ms since the epoch; 0: now. Pure.
 * @param jitter of this name, 0 to 1
 */
export function nextTry({ life, failed }: Renewal, jitter: number): number {
  const due = life === null ? 0 : renewalDue(life, jitter);
  return failed === null ? due : Math.max(due, failed.at + pauseMs(failed.count, jitter));
}

function renewalDue(life: { notBefore: number; notAfter: number }, jitter: number): number {
  const whole = life.notAfter - life.notBefore;
  return life.notBefore + whole * (RENEW_AT + SPREAD * jitter);
}

/** Exponential, a quarter more at most by the jitter. */
function pauseMs(failures: number, jitter: number): number {
  const pause = Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.max(0, failures - 1));
  return pause * (1 + jitter / 4);
}

/** What the choice between certificates depends on. */
export interface Certificate {
  readonly id: string;
  /** `shop.example.com`, `*.example.com` */
  readonly names: readonly string[];
  /** ms since the epoch */
  readonly addedAt: number;
}

/**
 * Which certificate has which names: each name belongs to the certificate that came last. One that
 * has lost all its names is not in the answer.
 */
export function namesServed(
  certificates: readonly Certificate[],
): ReadonlyMap<string, readonly string[]> {
  const owners = new Map<string, string>();
  for (const { id, names } of certificates.toSorted(byAge)) {
    for (const name of names) owners.set(name, id);
  }
  const served = new Map<string, string[]>();
  for (const [name, id] of owners) served.set(id, [...(served.get(id) ?? []), name]);
  return served;
}

/** Whether a host is one of these names, or one label below a `*.`, as a TLS client reads them. */
export function covers(names: readonly string[], host: string): boolean {
  const above = host.indexOf('.');
  return names.includes(host) || (above > 0 && names.includes(`*${host.slice(above)}`));
}

/** How much time a certificate has left. */
export type Expiry = 'good' | 'soon' | 'very_soon' | 'expired';

const DAY_MS = 86_400_000;
/** From then on it is named to people: nobody has renewed it, though it was time, ms. */
const SOON_MS = 14 * DAY_MS;
const VERY_SOON_MS = 3 * DAY_MS;

/**
 * A certificate of a few days is not always about to expire: what is left is held against its whole
 * life as well.
 * @param now and the two ends of its life, ms since the epoch
 */
export function expiryOf(life: { notBefore: number; notAfter: number }, now: number): Expiry {
  const left = life.notAfter - now;
  if (left <= 0) return 'expired';
  const whole = life.notAfter - life.notBefore;
  if (left < Math.min(VERY_SOON_MS, whole / 10)) return 'very_soon';
  return left < Math.min(SOON_MS, whole / 5) ? 'soon' : 'good';
}

function byAge(a: Certificate, b: Certificate): number {
  return a.addedAt - b.addedAt || (a.id < b.id ? -1 : 1);
}

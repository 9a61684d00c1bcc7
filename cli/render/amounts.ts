/** `1,204`: the same on every machine, whatever its locale. */
export function count(value: number): string {
  // The runtime's own way loads the rules of every language first: 20 ms.
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, ',');
}

/** `1 file`, `1,204 files`. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Bytes as people read them, in powers of 1000: `214 kB`, `38.1 MB`. */
export function bytes(value: number): string {
  const units = ['kB', 'MB', 'GB', 'TB'];
  if (value < 1_000) return `${value} B`;
  let amount = value / 1_000;
  let unit = 0;
  while (amount >= 999.95 && unit < units.length - 1) {
    amount /= 1_000;
    unit += 1;
  }
  return `${amount.toFixed(1)} ${units[unit]}`;
}

/** How long something lasts, two units at most: `40s`, `6m`, `2h 10m`, `12d`. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h ${String(minutes % 60).padStart(2, '0')}m`;
  return `${Math.floor(hours / 24)}d`;
}

/** How long a certificate is still valid: `61d`. */
export function leftText({ notAfter }: { readonly notAfter: number }, now: number): string {
  return notAfter <= now ? 'expired' : age(notAfter - now);
}

/** Local time of day: `18:40`. @param at ms since the epoch */
export function clock(at: number): string {
  return dateTime(at).slice(11, 16);
}

/** Local date and time: `2026-11-23 18:29:58`. @param at ms since the epoch */
export function dateTime(at: number): string {
  const date = new Date(at);
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `r42` of `r42-ab12cd3`: enough where the app is known. */
export function shortRelease(release: string): string {
  return release.split('-')[0] ?? release;
}

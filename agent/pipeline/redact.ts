const HIDDEN = '***';
/** Shorter values are in every text by chance. */
const SHORTEST_KEPT_VALUE = 6;

/** Of the variables that the host keeps for an app, those that are hidden wherever they turn up. */
export function secretsOf(kept: Readonly<Record<string, string>>): string[] {
  return Object.values(kept).filter(({ length }) => length >= SHORTEST_KEPT_VALUE);
}

/** A text without any of these secrets, however it may spell them: plain, in JSON, in a URL. */
export function redact(text: string, secrets: Iterable<string>): string {
  const spellings = [...secrets].flatMap((secret) => [
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret.toWellFormed()),
  ]);
  return [...new Set(spellings)]
    .filter((spelling) => spelling !== '')
    .toSorted((a, b) => b.length - a.length)
    .reduce((rest, spelling) => rest.replaceAll(spelling, HIDDEN), text);
}

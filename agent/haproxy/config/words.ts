/** What HAProxy itself answers with. */
export const PLAIN = 'text/plain; charset=utf-8';

/** A word of any characters but line ends and NUL, as HAProxy's configuration takes it. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

import { UsageError } from './usage-error.ts';

/**
 * `web=3 worker=default` as a wish; null goes back to what zdd.yaml says. Whether there is such a
 * process type, and may be so many of it, is for the agent to say: it knows the release.
 * @throws UsageError
 */
export function readProcesses(words: readonly string[]): Record<string, number | null> {
  const refuse = (message: string): UsageError =>
    new UsageError(message, ['zdd-agent scale web=3', 'zdd-agent scale --help']);
  const wanted = new Map<string, number | null>();
  for (const word of words) {
    const [, process, value] = /^([a-z][a-z0-9-]*)=(\d{1,6}|default)$/.exec(word) ?? [];
    if (process === undefined) {
      throw refuse(`expected a process type and its number such as web=3, got "${word}"`);
    }
    if (wanted.has(process)) throw refuse(`${process} is named twice`);
    wanted.set(process, value === 'default' ? null : Number(value));
  }
  return Object.fromEntries(wanted);
}

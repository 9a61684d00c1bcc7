/** What was typed, with one option more: the command to try next. Nothing typed is a secret. */
export function sameCommand(
  option: string,
  argv: readonly string[] = process.argv.slice(2),
): string {
  const end = argv.indexOf('--');
  const at = end < 0 ? argv.length : end;
  return [
    'zdd-agent',
    ...argv.slice(0, at).map(quoted),
    option,
    ...argv.slice(at).map(quoted),
  ].join(' ');
}

/** As a POSIX shell reads it back. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

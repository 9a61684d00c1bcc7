/**
 * What was typed, with one option more: the command to try next. Nothing typed is a secret.
 * @param value of the option, if it takes one: then the one that was typed goes
 */
export function sameCommand(option: string, value?: string): string {
  const argv = process.argv.slice(2);
  const end = argv.indexOf('--');
  const at = end < 0 ? argv.length : end;
  const typed = argv.slice(0, at);
  return [
    'zdd-agent',
    ...(value === undefined ? typed : without(typed, option)).map(quoted),
    option,
    ...(value === undefined ? [] : [quoted(value)]),
    ...argv.slice(at).map(quoted),
  ].join(' ');
}

function without(words: readonly string[], option: string): string[] {
  return words.filter(
    (word, at) => word !== option && words[at - 1] !== option && !word.startsWith(`${option}=`),
  );
}

/** As a POSIX shell reads it back. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

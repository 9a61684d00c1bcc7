/**
 * Patterns as ssh_config(5) and sshd(8) define them: `*`, `?`, and `!` before a pattern to exclude
 * what it matches. A list matches when one of its patterns does and none of the excluding ones.
 */
export function matchesPatterns(patterns: readonly string[], name: string): boolean {
  let matched = false;
  for (const pattern of patterns) {
    const excludes = pattern.startsWith('!');
    if (!matchesPattern(excludes ? pattern.slice(1) : pattern, name)) continue;
    if (excludes) return false;
    matched = true;
  }
  return matched;
}

function matchesPattern(pattern: string, name: string): boolean {
  // A run of stars means what one star means, and would make the search exponential.
  const source = pattern
    .replace(/\*+/g, '*')
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 'is').test(name);
}

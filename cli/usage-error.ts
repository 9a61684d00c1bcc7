/**
 * The command line is wrong. Kept apart from `ZddError` so that checking a command line does not
 * load the schemas of the wire; `main.ts` shows it as ZDD_USAGE.
 */
export class UsageError extends Error {
  readonly tries: readonly string[];

  /** @param tries exact commands to type instead. */
  constructor(message: string, tries: readonly string[] = []) {
    super(message);
    this.name = 'UsageError';
    this.tries = tries;
  }
}

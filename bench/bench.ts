/** One benchmark, as `npm run bench` knows it. */
export interface Bench {
  readonly name: string;
  /** One line for the list. */
  readonly summary: string;
  /** The flags it takes, one line each. */
  readonly flags: readonly string[];
  run(args: readonly string[], session: BenchSession): Promise<BenchResult>;
}

export interface BenchSession {
  /** Says what is happening, on stderr. */
  readonly say: (line: string) => void;
  /** Aborted by Ctrl-C: end what was started and throw. */
  readonly signal: AbortSignal;
}

export interface BenchResult {
  /** What people read: a table and the notes below it. */
  readonly text: string;
  /** What `--json` prints as the last line. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** The user's or the machine's fault: shown without a stack. */
export class BenchError extends Error {
  /** Commands to type next. */
  readonly tries: readonly string[];

  constructor(message: string, tries: readonly string[] = []) {
    super(message);
    this.name = 'BenchError';
    this.tries = tries;
  }
}

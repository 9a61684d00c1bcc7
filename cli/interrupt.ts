/** As a shell reports a program that SIGINT ended. */
export const EXIT_INTERRUPTED = 130;

/**
 * The user or the system asked this command to end. What the agent does goes on without us.
 * `main.ts` ends with exit code 130; `said` is shown unless it is empty.
 */
export class Interrupted extends Error {
  readonly said: readonly string[];
  /** What `--json` prints as the last line. */
  readonly detached: { readonly app: string; readonly deployment: number } | null;

  constructor(said: readonly string[] = [], detached: Interrupted['detached'] = null) {
    super('interrupted');
    this.name = 'Interrupted';
    this.said = said;
    this.detached = detached;
  }
}

/** SIGINT is somebody at a keyboard; the others are an end that nobody can be asked about. */
export type InterruptSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';
const SIGNALS: readonly InterruptSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Ctrl-C and the signals of a closing session, given to whoever can answer them best. */
export interface Interrupts {
  /** Aborted with an `Interrupted` by the first signal that nobody has taken. */
  readonly signal: AbortSignal;
  /** From now on `handler` gets each signal instead. Returns the way to give that back. */
  take(handler: (signal: InterruptSignal) => void): () => void;
}

/** Listens to SIGINT, SIGTERM and SIGHUP of this process, until the process ends. */
export function listenForInterrupts(): Interrupts {
  const controller = new AbortController();
  let handler: ((signal: InterruptSignal) => void) | null = null;
  const raise = (name: InterruptSignal) => {
    if (handler) handler(name);
    // Asked twice: whatever hangs, the user wants out.
    else if (controller.signal.aborted) process.exit(EXIT_INTERRUPTED);
    else controller.abort(new Interrupted());
  };
  for (const name of SIGNALS) process.on(name, () => raise(name));
  return {
    signal: controller.signal,
    take(next) {
      handler = next;
      return () => {
        if (handler === next) handler = null;
      };
    },
  };
}

/**
 * Where instances live. The pipeline speaks to this interface only; `process/` runs them as
 * detached processes (demo, containers, tests), systemd template units run them on a VPS.
 */

/** The place where an instance listens. `activation`: it inherits the open listener as fd 3. */
export type Listen =
  | { readonly kind: 'none' }
  | { readonly kind: 'unix'; readonly path: string; readonly activation: boolean }
  | { readonly kind: 'tcp'; readonly port: number; readonly activation: boolean };

/**
 * A shell line or plain arguments. A line of one command replaces its shell (`exec`), so that the
 * process is the app; a line of several keeps a shell of its own.
 */
export type Command = string | readonly string[];

/** Everything needed to run one instance; stored as JSON so that a restart can start it again. */
export interface InstanceSpec {
  /** Unique for ever on this host: `shop.r42-d57-web-1`. Also the instance's file name. */
  readonly slot: string;
  readonly app: string;
  readonly release: string;
  readonly process: string;
  readonly command: Command;
  readonly cwd: string;
  /** The whole environment beside PATH, HOME, LANG and what `listen` adds. */
  readonly env: Readonly<Record<string, string>>;
  readonly listen: Listen;
}

/** How a process ended; both null when the runner was not there to see it. */
export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

export type InstanceStatus =
  | { readonly state: 'running'; readonly pid: number; readonly restarts: number }
  | {
      readonly state: 'backing_off';
      readonly restarts: number;
      readonly nextStartAt: number;
      readonly lastExit: Exit;
    }
  | { readonly state: 'stopped' };

/** An instance ended without being told to. */
export interface InstanceExited {
  readonly spec: InstanceSpec;
  readonly exit: Exit;
  /** The pause before the next start, ms; null when it is not started again. */
  readonly restartInMs: number | null;
}

export interface OutputLine {
  readonly at: number;
  readonly slot: string;
  readonly app: string;
  readonly release: string;
  readonly stream: 'out' | 'err';
  readonly text: string;
}

export interface OutputFilter {
  readonly app: string;
  readonly release?: string;
  readonly process?: string;
}

export interface OnceSpec {
  readonly command: Command;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

export interface OnceResult {
  readonly exit: Exit;
  readonly timedOut: boolean;
  /** The last lines of stdout and stderr together, oldest first. */
  readonly output: readonly string[];
}

export interface Runner {
  /** Re-adopts what an earlier daemon started (by pid and start time) and restarts what died. */
  adopt(): Promise<void>;
  /**
   * Starts an instance, or adopts it when this slot runs already. Resolves when the process has
   * been spawned; whether it is healthy is for a probe to say.
   * @throws ZDD_START_COMMAND_NOT_FOUND, ZDD_START_FAILED, ZDD_PORT_IN_USE
   */
  start(spec: InstanceSpec, signal: AbortSignal): Promise<void>;
  /** SIGTERM, SIGKILL after `graceMs`, then removes the socket. Does nothing when it is gone. */
  stop(slot: string, graceMs: number, signal: AbortSignal): Promise<void>;
  status(slot: string): InstanceStatus;
  /** Every instance the runner keeps alive: what the journal does not know is stopped as an orphan. */
  list(): readonly InstanceSpec[];
  /** Instances that were stopped and whose output is still kept. */
  stopped(): readonly InstanceSpec[];
  /** Runs a command to its end: the release command. Its whole process group dies with `signal`. */
  runOnce(spec: OnceSpec, signal: AbortSignal): Promise<OnceResult>;
  /** A free TCP port of the configured range, never one of `taken`. @throws ZDD_PORT_IN_USE */
  freePort(taken: ReadonlySet<number>): Promise<number>;
  /** The last `lines` lines, oldest first; works for stopped slots while their output is kept. */
  output(filter: OutputFilter, lines: number): Promise<readonly OutputLine[]>;
  /** New lines as they come, until `signal`. */
  follow(filter: OutputFilter, signal: AbortSignal): AsyncIterable<OutputLine>;
  /** Deletes the kept output of a slot. */
  forget(slot: string): Promise<void>;
  /** Calls back for each instance that ended by itself. Returns the way to stop that. */
  onExit(listener: (exited: InstanceExited) => void): () => void;
  /** Leaves every instance running and lets go of timers and files. */
  detach(): Promise<void>;
}

import type { Readable, Writable } from 'node:stream';

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

/** What one instance may use at most; what is not there is not limited by us. */
export interface Limits {
  /** Bytes of memory of all its processes together. */
  readonly memory?: number | undefined;
  /** Percent of one processor: 150 is one and a half. */
  readonly cpu?: number | undefined;
  /** Processes and threads. */
  readonly tasks?: number | undefined;
  /** Open files of each process. The one limit that every runner can enforce. */
  readonly nofile?: number | undefined;
}

/** What the sandbox of an app can be told to leave open; see docs/security.md. */
export type SandboxOption = 'namespaces' | 'devices' | 'home' | 'syscalls';

/** What has to be in place before anything of an app is written or started. */
export interface HostPreparation {
  readonly app: string;
  /** When an instance that does not end may be killed at the earliest, ms after SIGTERM. */
  readonly stopTimeoutMs: number;
  readonly allow: readonly SandboxOption[];
  /** When jobs run, by name: `OnCalendar=` of systemd.time(7). */
  readonly calendars: Readonly<Record<string, readonly string[]>>;
}

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
  readonly limits?: Limits | undefined;
}

/** How a process ended; code and signal null when the runner was not there to see it. */
export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
  /** It was killed because it, or the host, ran out of memory. Absent when that cannot be told. */
  readonly outOfMemory?: true;
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
  /** 0 to 7 as in syslog(3), when the line came with one. */
  readonly priority?: number;
  readonly text: string;
}

export interface OutputFilter {
  readonly app: string;
  readonly release?: string;
  readonly process?: string;
}

export interface OnceSpec {
  /** Unique for ever on this host, as the name of a slot is: `shop.r42-d57-release`. */
  readonly name: string;
  readonly app: string;
  readonly release: string;
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

/** A terminal's size in characters. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/** A command in a release whose streams somebody holds: `zdd-agent exec`. */
export interface ExecSpec {
  /** Unique for ever on this host, as the name of a slot is: `shop.r42-d57-exec-1`. */
  readonly name: string;
  readonly app: string;
  readonly command: Command;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly limits?: Limits | undefined;
  /** A terminal instead of three streams; `term` is its `$TERM`. */
  readonly tty: { readonly size: TerminalSize; readonly term: string } | null;
}

/** A command that runs with its streams in our hands. It never outlives the daemon. */
export interface ExecSession {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** With a terminal nothing comes here. */
  readonly stderr: Readable;
  /**
   * The exit code, as a shell tells it; null when something else ended the session. Output may still
   * be on its way then; what the command left behind holds the streams open until `end`.
   */
  readonly ended: Promise<number | null>;
  resize(size: TerminalSize): void;
  /** SIGHUP and SIGTERM, SIGKILL after `graceMs`; resolves when nothing of it is left. */
  end(graceMs: number): Promise<void>;
  /** Closes the streams, whatever is still in them. */
  release(): void;
}

/**
 * The reason of an abort that only lets go: the daemon leaves, what it started runs on. With any
 * other reason an abort ends what the signal was given to.
 */
export class Leaving extends Error {}

/** A job that runs at certain times. */
export interface TimedJob extends Omit<OnceSpec, 'name'> {
  /** Unique within the app. */
  readonly job: string;
  /** `OnCalendar=` of systemd.time(7), one or more. */
  readonly calendars: readonly string[];
}

/** The last run of a timed job. Times in ms since the epoch. */
export interface TimedRun {
  readonly startedAt: number;
  readonly endedAt: number | null;
  readonly outcome: 'running' | 'ok' | 'failed';
  /** Why it failed. */
  readonly detail: string;
}

/** Runs jobs at their times by itself, with or without the daemon, each never twice at once. */
export interface Timers {
  /**
   * Makes these the jobs of an app, and no others: what is due from now on runs as said here. A run
   * that is under way goes on. Idempotent; `prepare` must have been told the calendars.
   * @throws ZDD_START_FAILED
   */
  set(app: string, jobs: readonly TimedJob[], signal: AbortSignal): Promise<void>;
  /** Whether an app has timers that an earlier daemon has set. */
  any(app: string): Promise<boolean>;
  /** The last run of a job in this boot; null when there was none. */
  last(app: string, job: string, signal: AbortSignal): Promise<TimedRun | null>;
}

export interface Runner {
  /** Null where the daemon has to be the clock itself. */
  readonly timers: Timers | null;
  /** Re-adopts what an earlier daemon started (by pid and start time) and restarts what died. */
  adopt(): Promise<void>;
  /**
   * Makes ready whatever an app needs beside its files: its user, folders and units where there are
   * such things. Idempotent; to be called before anything is written into the app's folder.
   * @throws ZDD_START_FAILED
   */
  prepare(request: HostPreparation, signal: AbortSignal): Promise<void>;
  /**
   * Starts an instance, or adopts it when this slot runs already. Resolves when the process has
   * been spawned; whether it is healthy is for a probe to say.
   * @throws ZDD_START_COMMAND_NOT_FOUND, ZDD_START_FAILED, ZDD_PORT_IN_USE
   */
  start(spec: InstanceSpec, signal: AbortSignal): Promise<void>;
  /** SIGTERM, SIGKILL after `graceMs`, then removes the socket. Does nothing when it is gone. */
  stop(slot: string, graceMs: number, signal: AbortSignal): Promise<void>;
  /** Sends a signal to the main process of an instance. @returns false when it does not run */
  signal(slot: string, name: 'SIGUSR2', signal: AbortSignal): Promise<boolean>;
  status(slot: string): InstanceStatus;
  /** Every instance the runner keeps alive: what the journal does not know is stopped as an orphan. */
  list(): readonly InstanceSpec[];
  /** Instances that were stopped and whose output is still kept. */
  stopped(): readonly InstanceSpec[];
  /**
   * Runs a command to its end: the release command. All its processes die with `signal`, unless its
   * reason is `Leaving` and `knowsOnce` will be true of it. Goes on with what `knowsOnce`, instead of
   * running it a second time.
   * @throws ZDD_RELEASE_COMMAND_FAILED when it cannot be begun; the reason of `signal`
   */
  runOnce(spec: OnceSpec, signal: AbortSignal): Promise<OnceResult>;
  /** Whether the command of this name was begun by an earlier daemon and its end is, or will be, known. */
  knowsOnce(name: string): Promise<boolean>;
  /**
   * Forgets the commands of an app but for those of `kept` and those that `runOnce` waits for, and
   * ends those that still run.
   */
  forgetOnce(app: string, kept: ReadonlySet<string>, signal: AbortSignal): Promise<void>;
  /**
   * Begins a command with its streams in the caller's hands, who ends it.
   * @throws ZDD_EXEC_FAILED, ZDD_START_FAILED; the reason of `signal`
   */
  exec(spec: ExecSpec, signal: AbortSignal): Promise<ExecSession>;
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

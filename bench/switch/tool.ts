import type { Stage } from './stage.ts';

/** One way to put a new release in the place of an old one. */
export interface Tool {
  readonly name: string;
  /**
   * Makes sure that what it needs is installed, before anything is measured.
   * @throws BenchError naming what to install; the tool is then left out of the table.
   */
  prepare(stage: Stage): Promise<void>;
  /** Starts the tool and the release `v1`; resolves when `url` answers. */
  start(stage: Stage): Promise<RunningTool>;
}

export interface RunningTool extends AsyncDisposable {
  /** Where the load goes: `http://127.0.0.1:8080`. */
  readonly url: string;
  /** The `host` header of the load, when the tool routes by it. */
  readonly hostHeader?: string;
  /**
   * Puts the release `version` (`v2`, `v3`, ...) in the place of the one that serves and resolves
   * when the tool and its user are through with it.
   */
  switchTo(version: string): Promise<Switched>;
}

/** One switch. Times are `now()` of load/outcome.ts: ms since the epoch, monotonic. */
export interface Switched {
  /** The `x-release` by which the new release answers. */
  readonly release: string;
  /** The deploy began: the new processes were started, or the command that starts them. */
  readonly beganAt: number;
  /** Traffic was told to move; the new processes are healthy, where the tool can wait for that. */
  readonly commandAt: number;
  /**
   * The old processes were told to stop. Equal to `endedAt` for a tool whose command to move
   * traffic is also the one that stops them, and for one that leaves them running.
   */
  readonly stopAt: number;
  /** All is done: the old processes are gone, or are left to drain by the tool. */
  readonly endedAt: number;
}

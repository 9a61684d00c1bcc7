import type { Log } from '../process/log.ts';
import type { Exit, InstanceExited, InstanceSpec } from '../runner.ts';
import { systemctl } from './bus.ts';
import { lastExits, newEnds, noteOf } from './exits.ts';
import { slotNotices } from './journal.ts';
import { slotName } from './unit-names.ts';
import { endsOf, isDown, isSteadyAgain, monotonicUs, type UnitState } from './unit-state.ts';

/** Notices read beyond those that are looked for: apps may log notices too. */
const MORE_NOTICES = 50;
/** A crash loop of a night is told by its last ends, not by each. */
const MOST_TOLD = 20;

/**
 * Tells of each end that an instance came to by itself, from what two looks at its unit differ in.
 * systemd never forgets restarts by itself: without a word of ours, an app that crashed once a week
 * would in the end be down for half a minute each time.
 */
export class ExitStory {
  readonly #spec: InstanceSpec;
  readonly #tell: (exited: InstanceExited) => void;
  readonly #log: Log;
  readonly #detached: AbortSignal;
  #counted: number;
  #down: boolean;
  #forgotten = 0;
  #forgetting = false;
  #tail: Promise<void> = Promise.resolve();

  /** @param from ends up to this state are the past and are not told of */
  constructor(
    spec: InstanceSpec,
    from: UnitState | undefined,
    tell: (exited: InstanceExited) => void,
    log: Log,
    detached: AbortSignal,
  ) {
    this.#spec = spec;
    this.#tell = tell;
    this.#log = log;
    this.#detached = detached;
    this.#counted = from === undefined ? 0 : endsOf(from);
    this.#down = from !== undefined && isDown(from);
  }

  /** Restarts that systemd was told to forget. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** Takes what a look has shown. */
  take(now: UnitState): void {
    if (isSteadyAgain(now, monotonicUs())) void this.#forgetRestarts(now);
    const wasDown = this.#down;
    this.#down = isDown(now);
    if (this.#down) {
      // Nobody of ours stopped it: an admin, or systemd that cannot start it at all.
      if (!wasDown) this.#say(now.exit ?? { code: null, signal: null }, null);
      this.#counted = 0;
      return;
    }
    const count = newEnds(this.#counted, now);
    // Smaller after a start by hand: systemd counts from 0 again.
    this.#counted = endsOf(now);
    if (count === 0) return;
    this.#tail = this.#tail
      .then(() => this.#tellOf(Math.min(count, MOST_TOLD), now))
      .catch((error: unknown) => this.#complain(error));
  }

  async #forgetRestarts({ unit, restarts }: UnitState): Promise<void> {
    if (this.#forgetting) return;
    this.#forgetting = true;
    try {
      const { ok } = await systemctl(['reset-failed', unit], this.#detached);
      if (ok) this.#forgotten += restarts;
    } catch (error) {
      this.#complain(error);
    } finally {
      this.#forgetting = false;
    }
  }

  async #tellOf(count: number, now: UnitState): Promise<void> {
    const { app, name } = slotName(this.#spec.slot);
    const wanted = count + MORE_NOTICES;
    const notices = await slotNotices(app, name, wanted, this.#detached).catch(() => []);
    const notes = notices.map(noteOf).filter((note) => note !== null);
    for (const exit of lastExits(count, notes, now)) this.#say(exit, now.restartPauseMs);
  }

  #say(exit: Exit, restartInMs: number | null): void {
    const { app, release, slot } = this.#spec;
    this.#log('warn', 'instance exited', { app, release, slot, ...exit, restartInMs });
    this.#tell({ spec: this.#spec, exit, restartInMs });
  }

  #complain(error: unknown): void {
    if (this.#detached.aborted) return;
    const message = error instanceof Error ? error.message : String(error);
    this.#log('error', 'ends of an instance cannot be followed', {
      slot: this.#spec.slot,
      error: message,
    });
  }
}

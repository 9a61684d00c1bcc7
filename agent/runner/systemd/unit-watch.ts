import type { Log } from '../process/log.ts';
import { orAborted, pause } from '../process/wait.ts';
import { systemctl } from './bus.ts';
import { PROPERTIES, parseUnits, type UnitState } from './unit-state.ts';

/** How often all units are looked at; faster is not needed, because systemd counts restarts, ms. */
const LOOK_EVERY_MS = 1_000;
/** How often while somebody waits for a unit, ms. */
const WAIT_EVERY_MS = 100;

interface Waiter {
  readonly unit: string;
  readonly isSo: (state: UnitState) => boolean;
  readonly deadline: number;
  readonly resolve: (state: UnitState | undefined) => void;
}

/** What is known of units, from one `systemctl show` for all of them at a time. */
export class UnitWatch {
  readonly #states = new Map<string, UnitState>();
  readonly #lastLook = new Map<string, number>();
  readonly #detached: AbortSignal;
  readonly #log: Log;
  readonly #seen: (now: UnitState) => void;
  readonly #watched = new Set<string>();
  readonly #waiters = new Set<Waiter>();
  #hurry = new AbortController();
  #looks = 0;
  #loop: Promise<void> | undefined;
  #complaint = '';

  /** @param seen is told of each look at a watched unit */
  constructor(log: Log, detached: AbortSignal, seen: (now: UnitState) => void) {
    this.#log = log;
    this.#detached = detached;
    this.#seen = seen;
  }

  /** What the last look has shown. */
  state(unit: string): UnitState | undefined {
    return this.#states.get(unit);
  }

  /** Looks at this unit from now on, as long as it is not forgotten. */
  watch(unit: string): void {
    this.#watched.add(unit);
    this.#run();
  }

  forget(unit: string): void {
    this.#watched.delete(unit);
    this.#states.delete(unit);
    // A look that is still under way must not bring back what is gone.
    this.#lastLook.set(unit, this.#looks);
  }

  /** Looks at these units now. @throws ZDD_START_FAILED when systemd does not answer */
  async look(units: readonly string[], signal: AbortSignal): Promise<void> {
    if (units.length === 0) return;
    this.#looks += 1;
    const look = this.#looks;
    const { stdout } = await systemctl(
      ['show', `--property=${PROPERTIES.join(',')}`, '--', ...units],
      signal,
    );
    for (const state of parseUnits(stdout)) this.#take(state, look);
  }

  /** One unit, as it is now. */
  async see(unit: string, signal: AbortSignal): Promise<UnitState> {
    await this.look([unit], signal);
    const state = this.#states.get(unit);
    if (state === undefined) throw new Error(`systemctl show says nothing of ${unit}`);
    return state;
  }

  /**
   * Looks until it is so; everybody who waits shares the looks.
   * @param deadline on the clock of `performance.now`: the wall clock may jump
   * @returns the state that satisfied, or undefined at the deadline
   */
  async until(
    unit: string,
    isSo: (state: UnitState) => boolean,
    deadline: number,
    signal: AbortSignal,
  ): Promise<UnitState | undefined> {
    const state = await this.see(unit, signal);
    if (isSo(state)) return state;
    const { promise, resolve } = Promise.withResolvers<UnitState | undefined>();
    const waiter: Waiter = { unit, isSo, deadline, resolve };
    this.#waiters.add(waiter);
    this.#run();
    try {
      return await orAborted(promise, signal);
    } finally {
      this.#waiters.delete(waiter);
    }
  }

  /** A look that was overtaken by a later one has nothing to say. */
  #take(state: UnitState, look: number): void {
    if ((this.#lastLook.get(state.unit) ?? 0) >= look) return;
    this.#lastLook.set(state.unit, look);
    this.#states.set(state.unit, state);
    if (this.#watched.has(state.unit)) this.#seen(state);
  }

  /** Looks as long as there is something to look at, and at once more often when somebody waits. */
  #run(): void {
    this.#hurry.abort();
    this.#hurry = new AbortController();
    this.#loop ??= this.#keepLooking().finally(() => {
      this.#loop = undefined;
    });
  }

  async #keepLooking(): Promise<void> {
    while (this.#watched.size + this.#waiters.size > 0) {
      const everyMs = this.#waiters.size > 0 ? WAIT_EVERY_MS : LOOK_EVERY_MS;
      await pause(everyMs, AbortSignal.any([this.#detached, this.#hurry.signal]));
      if (this.#detached.aborted) return;
      try {
        const waited = [...this.#waiters].map(({ unit }) => unit);
        await this.look([...new Set([...this.#watched, ...waited])], this.#detached);
        this.#complaint = '';
      } catch (error) {
        this.#complain(error);
      }
      this.#answerWaiters();
    }
  }

  #answerWaiters(): void {
    for (const { unit, isSo, deadline, resolve } of this.#waiters) {
      const state = this.#states.get(unit);
      if (state !== undefined && isSo(state)) resolve(state);
      else if (performance.now() >= deadline) resolve(undefined);
    }
  }

  /** Once for each new complaint, not once a look. */
  #complain(error: unknown): void {
    if (this.#detached.aborted) return;
    const message = error instanceof Error ? error.message : String(error);
    if (message === this.#complaint) return;
    this.#complaint = message;
    this.#log('error', 'instances cannot be looked at', { error: message });
  }
}

import { join } from 'node:path';
import type { Log } from '../process/log.ts';
import { PortPool, type PortRange } from '../process/port-pool.ts';
import { orAborted } from '../process/wait.ts';
import {
  type ExecSession,
  type ExecSpec,
  type HostPreparation,
  type InstanceExited,
  type InstanceSpec,
  type InstanceStatus,
  Leaving,
  type OnceResult,
  type OnceSpec,
  type OutputFilter,
  type OutputLine,
  type Runner,
  type Timers,
} from '../runner.ts';
import { ActiveFiles } from './active-files.ts';
import { systemctl } from './bus.ts';
import { exec } from './exec.ts';
import { ExitStory } from './exit-story.ts';
import { askFor, type Surroundings, startInstance, stopInstance } from './instance.ts';
import { followLines, lastLines } from './journal.ts';
import { forgetOnce, knowsOnce, runOnce } from './once.ts';
import { provision } from './provision.ts';
import { ReleaseBook } from './slot-book.ts';
import { allSlots, readSlot } from './slot-folder.ts';
import { createTimers } from './timers.ts';
import { serviceOf } from './unit-names.ts';
import { isDown, monotonicUs, statusOf, type UnitState } from './unit-state.ts';
import { UnitWatch } from './unit-watch.ts';

export interface SystemdRunnerOptions {
  /** `/var/lib/zdd-agent`: `apps/`, `active/`, `provision/` and `homes/` are in there. */
  readonly stateDir: string;
  /** Where `freePort` looks. */
  readonly ports: PortRange;
  /** PATH of every process that is started. */
  readonly path: string;
  readonly log: Log;
}

/**
 * Runs instances as systemd units, made from one template an app. systemd keeps them alive, with or
 * without the daemon, which asks for what it wants as an ordinary user; polkit permits that and
 * nothing more.
 */
export function createSystemdRunner(options: SystemdRunnerOptions): Runner {
  return new SystemdRunner(options);
}

class SystemdRunner implements Runner {
  readonly timers: Timers;
  readonly #options: SystemdRunnerOptions;
  readonly #ports: PortPool;
  readonly #specs = new Map<string, InstanceSpec>();
  readonly #stories = new Map<string, ExitStory>();
  readonly #verbs = new Map<string, Promise<void>>();
  readonly #waitedFor = new Set<string>();
  readonly #listeners = new Set<(exited: InstanceExited) => void>();
  readonly #detached = new AbortController();
  readonly #watch: UnitWatch;
  readonly #around: Surroundings;
  readonly #book: ReleaseBook;

  constructor(options: SystemdRunnerOptions) {
    const { stateDir, ports, log } = options;
    this.#options = options;
    this.#ports = new PortPool(ports);
    this.#watch = new UnitWatch(log, this.#detached.signal, (state) => {
      this.#stories.get(state.unit)?.take(state);
    });
    this.#around = {
      stateDir,
      active: new ActiveFiles(stateDir),
      watch: this.#watch,
      scripts: (app) => ({
        path: options.path,
        home: join(stateDir, 'homes', app),
        lang: process.env['LANG'] ?? 'C.UTF-8',
      }),
    };
    this.timers = createTimers(this.#around);
    this.#book = new ReleaseBook(stateDir, (slot) => this.#specs.get(slot)?.release);
  }

  async adopt(): Promise<void> {
    const { stateDir } = this.#options;
    for (const slot of await allSlots(stateDir)) {
      // One that cannot be adopted must not keep the daemon from the others.
      const found = await readSlot(stateDir, slot).catch((error: unknown) => {
        this.#complain('adopt', slot, error);
      });
      if (found?.kind === 'instance') this.#specs.set(slot, found.spec);
    }
    const units = [...this.#specs.keys()].map(serviceOf);
    await this.#watch.look(units, this.#detached.signal);
    await this.#startDown();
    for (const spec of this.#specs.values()) {
      this.#keep(spec, this.#watch.state(serviceOf(spec.slot)));
    }
  }

  async prepare(request: HostPreparation, signal: AbortSignal): Promise<void> {
    const { stateDir } = this.#options;
    // Whoever asks for an app waits for the one before: they write the same request.
    await this.#oneAtATime(request.app, this.#bound(signal), (bound) =>
      provision(request, stateDir, bound),
    );
  }

  async start(spec: InstanceSpec, signal: AbortSignal): Promise<void> {
    const { slot } = spec;
    await this.#oneAtATime(slot, this.#bound(signal), async (bound) => {
      const isFresh = !this.#specs.has(slot);
      this.#specs.set(slot, spec);
      try {
        await startInstance(spec, isFresh, this.#around, bound);
      } catch (error) {
        if (isFresh && !bound.aborted) this.#forgetSlot(slot);
        throw error;
      }
      if (!this.#stories.has(serviceOf(slot))) this.#keep(spec, undefined);
    });
  }

  async stop(slot: string, graceMs: number, signal: AbortSignal): Promise<void> {
    await this.#oneAtATime(slot, this.#bound(signal), async (bound) => {
      this.#stories.delete(serviceOf(slot));
      await stopInstance(slot, graceMs, this.#around, bound);
      this.#forgetSlot(slot);
    });
  }

  async signal(slot: string, name: NodeJS.Signals, signal: AbortSignal): Promise<boolean> {
    if (this.status(slot).state !== 'running') return false;
    const asked = ['kill', '--kill-whom=main', `--signal=${name}`, serviceOf(slot)];
    return (await systemctl(asked, this.#bound(signal))).ok;
  }

  status(slot: string): InstanceStatus {
    const unit = serviceOf(slot);
    const state = this.#watch.state(unit);
    if (state === undefined) return { state: 'stopped' };
    const status = statusOf(state, Date.now(), monotonicUs());
    const forgotten = this.#stories.get(unit)?.forgotten ?? 0;
    return status.state === 'stopped'
      ? status
      : { ...status, restarts: status.restarts + forgotten };
  }

  list(): readonly InstanceSpec[] {
    return [...this.#specs.values()];
  }

  /** The output is journald's to keep and to forget. */
  stopped(): readonly InstanceSpec[] {
    return [];
  }

  async forget(): Promise<void> {}

  async runOnce(spec: OnceSpec, signal: AbortSignal): Promise<OnceResult> {
    this.#waitedFor.add(spec.name);
    try {
      return await runOnce(spec, this.#around, this.#bound(signal));
    } finally {
      this.#waitedFor.delete(spec.name);
    }
  }

  async exec(spec: ExecSpec, signal: AbortSignal): Promise<ExecSession> {
    this.#waitedFor.add(spec.name);
    const over = (): boolean => this.#waitedFor.delete(spec.name);
    try {
      const session = await exec(spec, this.#around, this.#bound(signal));
      return { ...session, end: (graceMs) => session.end(graceMs).finally(over) };
    } catch (error) {
      over();
      throw error;
    }
  }

  async knowsOnce(name: string): Promise<boolean> {
    return await knowsOnce(name, this.#around, this.#detached.signal);
  }

  async forgetOnce(app: string, kept: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const spared = { has: (name: string) => kept.has(name) || this.#waitedFor.has(name) };
    await forgetOnce(app, spared, this.#around, this.#bound(signal));
  }

  async freePort(taken: ReadonlySet<number>): Promise<number> {
    const mine = this.list().flatMap(({ listen }) => (listen.kind === 'tcp' ? [listen.port] : []));
    return await this.#ports.free(new Set([...taken, ...mine]));
  }

  async output(filter: OutputFilter, lines: number): Promise<readonly OutputLine[]> {
    const { signal } = this.#detached;
    return await lastLines(filter, lines, this.#book, signal);
  }

  follow(filter: OutputFilter, signal: AbortSignal): AsyncIterable<OutputLine> {
    const { log } = this.#options;
    return followLines(filter, Date.now(), this.#book, log, this.#bound(signal));
  }

  onExit(listener: (exited: InstanceExited) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async detach(): Promise<void> {
    this.#detached.abort(new Leaving('the runner has let go'));
  }

  async #startDown(): Promise<void> {
    const wanted = await this.#around.active.all();
    const down = [...this.#specs.values()].filter(({ slot }) => {
      const state = this.#watch.state(serviceOf(slot));
      return wanted.has(serviceOf(slot)) && (state === undefined || isDown(state));
    });
    for (const { slot, app } of down) {
      this.#options.log('warn', 'instance was down and is started', { app, slot });
    }
    await askFor(down, this.#detached.signal);
    await this.#watch.look(
      down.map(({ slot }) => serviceOf(slot)),
      this.#detached.signal,
    );
  }

  /** @param from the ends up to this state are not told of */
  #keep(spec: InstanceSpec, from: UnitState | undefined): void {
    const unit = serviceOf(spec.slot);
    const tell = (exited: InstanceExited): void => {
      for (const listener of this.#listeners) listener(exited);
    };
    const { log } = this.#options;
    this.#stories.set(unit, new ExitStory(spec, from, tell, log, this.#detached.signal));
    this.#watch.watch(unit);
  }

  #forgetSlot(slot: string): void {
    this.#specs.delete(slot);
    this.#stories.delete(serviceOf(slot));
    this.#watch.forget(serviceOf(slot));
  }

  /**
   * The verbs of a slot follow each other: a stop waits for the start that it is to undo. So do those
   * of an app as a whole.
   */
  async #oneAtATime(
    slot: string,
    signal: AbortSignal,
    verb: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const before = this.#verbs.get(slot) ?? Promise.resolve();
    const turn = before.then(async () => {
      signal.throwIfAborted();
      await verb(signal);
    });
    const ended = turn
      .catch(() => {})
      .finally(() => {
        if (this.#verbs.get(slot) === ended) this.#verbs.delete(slot);
      });
    this.#verbs.set(slot, ended);
    await orAborted(turn, signal);
  }

  #bound(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#detached.signal]);
  }

  #complain(what: string, slot: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#options.log('error', `cannot ${what} an instance`, { slot, error: message });
  }
}

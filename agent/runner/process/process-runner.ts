import { mkdir } from 'node:fs/promises';
import { ZddError } from '../../protocol/errors.ts';
import type {
  ExecSession,
  ExecSpec,
  InstanceExited,
  InstanceSpec,
  InstanceStatus,
  OnceResult,
  OnceSpec,
  OutputFilter,
  OutputLine,
  Runner,
} from '../runner.ts';
import { exec } from './exec.ts';
import { installHolderScript } from './holder-script.ts';
import { type Backoff, DEFAULT_BACKOFF } from './launch.ts';
import type { Log } from './log.ts';
import { Follower, matches } from './output/follower.ts';
import { SlotOutput } from './output/slot-output.ts';
import { mergeByTime } from './output/tail.ts';
import { PortPool, type PortRange } from './port-pool.ts';
import { readRecord, removeFolder, type SlotRecord, slotFolder, slotNames } from './record.ts';
import { endLeftOver, runOnce } from './run-once.ts';
import { Slot } from './slot.ts';

/** How often instances and their output are looked at, ms. */
const TICK_MS = 100;
const DEFAULT_OUTPUT_BYTES = 10 * 1_024 * 1_024;

export interface ProcessRunnerOptions {
  /** A folder of its own; records in it hold the environment of apps and are 0600. */
  readonly stateDir: string;
  /** Where `freePort` looks. */
  readonly ports: PortRange;
  /** PATH of every process that is started. */
  readonly path: string;
  /** About the most output that is kept of a slot, bytes. Default 10 MiB. */
  readonly outputLimitBytes?: number;
  readonly backoff?: Backoff;
  readonly log: Log;
}

/** Runs instances as detached processes, each under a holder that outlives the daemon. */
export function createProcessRunner(options: ProcessRunnerOptions): Runner {
  return new ProcessRunner(options);
}

class ProcessRunner implements Runner {
  readonly #options: ProcessRunnerOptions;
  readonly #slots = new Map<string, Promise<Slot>>();
  readonly #known = new Map<string, Slot>();
  readonly #listeners = new Set<(exited: InstanceExited) => void>();
  readonly #followers = new Set<Follower>();
  readonly #ports: PortPool;
  readonly #detached = new AbortController();
  readonly #complaints = new Map<string, string>();
  #script: Promise<string> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ProcessRunnerOptions) {
    this.#options = options;
    this.#ports = new PortPool(options.ports);
  }

  async adopt(): Promise<void> {
    await this.#open();
    const names = await slotNames(this.#options.stateDir);
    await Promise.all([
      endLeftOver(this.#options.stateDir, this.#detached.signal),
      // One that cannot be adopted must not keep the daemon from the others.
      ...names.map((slot) =>
        this.#find(slot).catch((error: unknown) => this.#complain(slot, error)),
      ),
    ]);
  }

  readonly timers = null;

  /** Everything runs as the daemon's own user: there is nothing to make ready. */
  async prepare(): Promise<void> {}

  async start(spec: InstanceSpec, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#open();
    const slot = (await this.#find(spec.slot)) ?? (await this.#add(spec, undefined));
    await slot.start(spec, signal);
  }

  async stop(slot: string, graceMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#open();
    await (await this.#find(slot))?.stop(graceMs, signal);
  }

  async signal(slot: string, name: NodeJS.Signals): Promise<boolean> {
    return (await this.#find(slot))?.signal(name) ?? false;
  }

  status(slot: string): InstanceStatus {
    return this.#known.get(slot)?.status ?? { state: 'stopped' };
  }

  list(): readonly InstanceSpec[] {
    return [...this.#known.values()].filter((slot) => slot.isKept).map((slot) => slot.spec);
  }

  stopped(): readonly InstanceSpec[] {
    return [...this.#known.values()].filter((slot) => slot.isStopped).map((slot) => slot.spec);
  }

  async runOnce(spec: OnceSpec, signal: AbortSignal): Promise<OnceResult> {
    const { stateDir, path } = this.#options;
    const script = await this.#open();
    return await runOnce(spec, { stateDir, script, path, detached: this.#detached.signal }, signal);
  }

  async exec(spec: ExecSpec, signal: AbortSignal): Promise<ExecSession> {
    const { stateDir, path } = this.#options;
    const script = await this.#open();
    return await exec(spec, { stateDir, script, path }, signal);
  }

  /** Commands are children of the daemon: none outlives it, `adopt` sees to that. */
  async knowsOnce(): Promise<boolean> {
    return false;
  }

  async forgetOnce(): Promise<void> {}

  async freePort(taken: ReadonlySet<number>): Promise<number> {
    const mine = this.list().flatMap(({ listen }) => (listen.kind === 'tcp' ? [listen.port] : []));
    return await this.#ports.free(new Set([...taken, ...mine]));
  }

  async output(filter: OutputFilter, lines: number): Promise<readonly OutputLine[]> {
    await this.#open();
    const slots = await Promise.all(
      (await slotNames(this.#options.stateDir)).map((slot) => this.#find(slot)),
    );
    return mergeByTime(
      slots
        .filter((slot) => slot !== undefined)
        .filter((slot) => matches(slot.spec, filter))
        .map((slot) => slot.output.last(lines)),
      lines,
    );
  }

  follow(filter: OutputFilter, signal: AbortSignal): AsyncIterable<OutputLine> {
    const follower = new Follower(filter);
    for (const slot of this.#known.values()) slot.output.skip(follower);
    this.#followers.add(follower);
    return this.#followed(follower, AbortSignal.any([signal, this.#detached.signal]));
  }

  async forget(slot: string): Promise<void> {
    const found = await this.#find(slot);
    if (found?.isStopped === false) {
      throw new ZddError('ZDD_BUG', `${slot} still runs: its output is not to be forgotten`);
    }
    this.#slots.delete(slot);
    this.#known.delete(slot);
    await removeFolder(this.#options.stateDir, slot);
  }

  onExit(listener: (exited: InstanceExited) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async detach(): Promise<void> {
    clearInterval(this.#timer);
    this.#detached.abort();
    for (const slot of this.#known.values()) slot.detach();
  }

  /** Makes the folder, the script and the clock, once. Returns the path of the holder script. */
  async #open(): Promise<string> {
    const { stateDir } = this.#options;
    this.#script ??= mkdir(stateDir, { recursive: true, mode: 0o700 }).then(() =>
      installHolderScript(stateDir),
    );
    const script = await this.#script;
    this.#detached.signal.throwIfAborted();
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
    return script;
  }

  /** A slot that is known here or on disk; adopted when an earlier daemon has left it. */
  async #find(name: string): Promise<Slot | undefined> {
    const known = this.#slots.get(name);
    if (known !== undefined) return await known;
    let record: SlotRecord | undefined;
    try {
      record = await readRecord(this.#options.stateDir, name);
    } catch (error) {
      this.#complain(name, error);
      return undefined;
    }
    if (record === undefined) return this.#slots.get(name);
    return await this.#add(record.spec, record);
  }

  /** The first to come makes the slot, all others get the same one. */
  #add(spec: InstanceSpec, record: SlotRecord | undefined): Promise<Slot> {
    const known = this.#slots.get(spec.slot);
    if (known !== undefined) return known;
    const made = this.#make(spec, record);
    this.#slots.set(spec.slot, made);
    made.catch(() => this.#slots.delete(spec.slot));
    return made;
  }

  async #make(spec: InstanceSpec, record: SlotRecord | undefined): Promise<Slot> {
    const { stateDir, outputLimitBytes, path, backoff, log } = this.#options;
    const limit = outputLimitBytes ?? DEFAULT_OUTPUT_BYTES;
    const script = await this.#open();
    const slot = new Slot(
      spec,
      new SlotOutput(spec, slotFolder(stateDir, spec.slot), limit, this.#followers),
      {
        stateDir,
        script,
        path,
        backoff: backoff ?? DEFAULT_BACKOFF,
        log,
        exited: (event) => this.#tell(event),
        detached: this.#detached.signal,
      },
    );
    this.#known.set(spec.slot, slot);
    if (record !== undefined) await slot.adopt(record);
    return slot;
  }

  #tick(): void {
    for (const slot of this.#known.values()) {
      try {
        slot.tick();
        this.#complaints.delete(slot.spec.slot);
      } catch (error) {
        this.#complain(slot.spec.slot, error);
      }
    }
  }

  #tell(event: InstanceExited): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** Once for each new complaint, not once a tick. */
  #complain(slot: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (this.#complaints.get(slot) === message) return;
    this.#complaints.set(slot, message);
    this.#options.log('error', 'cannot keep an instance', { slot, error: message });
  }

  async *#followed(follower: Follower, signal: AbortSignal): AsyncGenerator<OutputLine> {
    try {
      yield* follower.lines(signal);
    } finally {
      this.#followers.delete(follower);
    }
  }
}

import { randomUUID } from 'node:crypto';
import type { Exit, InstanceExited, InstanceSpec, InstanceStatus } from '../runner.ts';
import { endProcesses } from './ending.ts';
import { preparePlace, removeSocket } from './environment.ts';
import { untilExec } from './exec-watch.ts';
import { HolderGeneration, type LaunchTools } from './generation.ts';
import type { Log } from './log.ts';
import type { SlotOutput } from './output/slot-output.ts';
import { bootId, isAlive, uptimeSeconds } from './proc.ts';
import { type SlotRecord, slotFolder, writeRecord } from './record.ts';
import { orAborted } from './wait.ts';

const UNSEEN: Exit = { code: null, signal: null };

/** What a slot needs of the runner around it. */
export interface SlotSurroundings extends LaunchTools {
  readonly stateDir: string;
  readonly log: Log;
  readonly exited: (event: InstanceExited) => void;
  /** Ends all waiting when the daemon lets go; the instances live on. */
  readonly detached: AbortSignal;
}

type Phase =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'launching' }
  /** A holder runs the app and starts it again by itself. */
  | { readonly kind: 'held'; readonly since: number }
  /** The holder is lost; the daemon starts another one. */
  | { readonly kind: 'waiting'; readonly timer: NodeJS.Timeout; readonly nextStartAt: number }
  | { readonly kind: 'stopping' };

/** One slot: what shall be with it is in its record, what is with it in its life file. */
export class Slot {
  readonly output: SlotOutput;
  readonly #around: SlotSurroundings;
  readonly #folder: string;
  #spec: InstanceSpec;
  #phase: Phase = { kind: 'stopped' };
  #generation: HolderGeneration | undefined;
  #starting: Promise<void> | undefined;
  #launching: Promise<void> | undefined;
  #ending: Promise<void> | undefined;
  #deadlineAt = Number.POSITIVE_INFINITY;
  #pauseMs: number;
  #warned = false;

  constructor(spec: InstanceSpec, output: SlotOutput, around: SlotSurroundings) {
    this.#spec = spec;
    this.output = output;
    this.#around = around;
    this.#folder = slotFolder(around.stateDir, spec.slot);
    this.#pauseMs = around.backoff.firstMs;
  }

  get spec(): InstanceSpec {
    return this.#spec;
  }

  /** Whether the runner keeps it alive. */
  get isKept(): boolean {
    return this.#phase.kind !== 'stopped' && this.#phase.kind !== 'stopping';
  }

  get isStopped(): boolean {
    return this.#phase.kind === 'stopped' && this.#starting === undefined;
  }

  get status(): InstanceStatus {
    const generation = this.#generation;
    if (this.#phase.kind === 'stopped' || generation === undefined) return { state: 'stopped' };
    const { restarts, life } = generation;
    if (this.#phase.kind === 'stopping' || this.#phase.kind === 'held') {
      const pid = life.running
        ? life.app?.pid
        : life.ends.length === 0
          ? life.holder?.pid
          : undefined;
      if (pid !== undefined) return { state: 'running', pid, restarts };
      if (this.#phase.kind === 'stopping') return { state: 'stopped' };
    }
    const end = life.ends.at(-1);
    return {
      state: 'backing_off',
      restarts: this.#phase.kind === 'waiting' ? restarts + 1 : restarts,
      nextStartAt: this.#phase.kind === 'waiting' ? this.#phase.nextStartAt : nextStart(end),
      lastExit: life.running ? UNSEEN : (end?.exit ?? UNSEEN),
    };
  }

  /** Sends a signal to the app itself. @returns false when it does not run */
  signal(name: NodeJS.Signals): boolean {
    const life = this.#generation?.life;
    if (life?.running !== true || life.app === null || !isAlive(life.app)) return false;
    process.kill(life.app.pid, name);
    return true;
  }

  /** Takes up what an earlier daemon has left, as its record says. */
  async adopt({ intent }: SlotRecord): Promise<void> {
    if (intent.kind === 'stopped') return;
    const generation = new HolderGeneration(this.#spec, this.#folder, intent.generation);
    this.#generation = generation;
    if (intent.kind === 'stop') {
      this.#phase = { kind: 'stopping' };
      this.#end(intent.deadlineAt).catch((error: unknown) => this.#complain('stop', error));
      return;
    }
    await generation.settle(this.#around.detached);
    generation.takeEnds();
    if (generation.isHolderAlive || generation.isAppAlive) {
      this.#phase = { kind: 'held', since: performance.now() };
      this.#log('info', 'instance adopted', { pid: generation.life.app?.pid });
      return;
    }
    await this.#relaunch();
  }

  /** @throws ZDD_START_COMMAND_NOT_FOUND, ZDD_START_FAILED, ZDD_PORT_IN_USE; the reason of `signal` */
  async start(spec: InstanceSpec, signal: AbortSignal): Promise<void> {
    if (this.#ending !== undefined) await orAborted(this.#ending, signal);
    if (this.#starting === undefined && this.isKept) return;
    this.#starting ??= this.#startFresh(spec, signal).finally(() => {
      this.#starting = undefined;
    });
    await orAborted(this.#starting, signal);
  }

  /** Goes on by itself when `signal` ends the waiting. @throws the reason of `signal` */
  async stop(graceMs: number, signal: AbortSignal): Promise<void> {
    if (this.#phase.kind === 'stopped') return;
    await orAborted(this.#end(Date.now() + graceMs), signal);
  }

  /** One look at the world: tells of ends, replaces a lost holder, keeps the output. */
  tick(): void {
    if (this.#phase.kind === 'stopped') return;
    this.output.tick();
    const generation = this.#generation;
    if (this.#phase.kind !== 'held' || this.#starting !== undefined || !generation) return;
    const isHolderAlive = generation.isHolderAlive;
    for (const { exit, pauseMs } of generation.takeEnds()) this.#exited(exit, pauseMs);
    if (isHolderAlive) return;
    if (generation.isAppAlive) {
      if (!this.#warned) this.#log('warn', 'holder lost, the app runs on', {});
      this.#warned = true;
      return;
    }
    const livedMs = performance.now() - this.#phase.since;
    if (livedMs >= this.#around.backoff.steadyMs) this.#pauseMs = this.#around.backoff.firstMs;
    if (generation.life.running) this.#exited(UNSEEN, this.#pauseMs);
    this.#relaunchLater();
  }

  /** Lets go of the timer; everything lives on. */
  detach(): void {
    if (this.#phase.kind === 'waiting') clearTimeout(this.#phase.timer);
  }

  async #startFresh(spec: InstanceSpec, signal: AbortSignal): Promise<void> {
    await preparePlace(spec);
    // A stopped slot has lost its environment.
    this.#spec = spec;
    try {
      await this.#launch(0, signal);
      const life = () => (this.#phase.kind === 'held' ? this.#generation?.life : undefined);
      await untilExec(this.#spec, life, this.#around.script, this.output, signal);
    } catch (error) {
      await this.#end(Date.now());
      throw error;
    }
  }

  /** The record is on disk before the holder is spawned; see docs/instances.md. */
  async #launch(restarts: number, signal: AbortSignal): Promise<void> {
    this.#phase = { kind: 'launching' };
    const record = { token: randomUUID(), bootId: bootId(), restarts };
    const generation = new HolderGeneration(this.#spec, this.#folder, record);
    this.#generation = generation;
    const launch = async () => {
      const intent = { kind: 'run', generation: record } as const;
      await writeRecord(this.#around.stateDir, { spec: this.#spec, intent });
      await generation.launch(this.#around, this.output, signal);
    };
    this.#launching = launch();
    try {
      await this.#launching;
      if (this.#phase.kind === 'launching')
        this.#phase = { kind: 'held', since: performance.now() };
    } finally {
      this.#launching = undefined;
    }
  }

  #end(deadlineAt: number): Promise<void> {
    this.#deadlineAt = Math.min(this.#deadlineAt, deadlineAt);
    this.#ending ??= this.#endAll().finally(() => {
      this.#ending = undefined;
      this.#deadlineAt = Number.POSITIVE_INFINITY;
    });
    return this.#ending;
  }

  async #endAll(): Promise<void> {
    if (this.#phase.kind === 'waiting') clearTimeout(this.#phase.timer);
    this.#phase = { kind: 'stopping' };
    await this.#launching?.catch(() => {});
    const { stateDir, detached } = this.#around;
    const generation = this.#generation;
    if (generation !== undefined) {
      const intent = {
        kind: 'stop',
        generation: generation.record,
        deadlineAt: this.#deadlineAt,
      } as const;
      await writeRecord(stateDir, { spec: this.#spec, intent });
      if (await generation.settle(detached)) {
        await endProcesses(
          () => generation.processes(),
          () => this.#deadlineAt,
          detached,
        );
      }
    }
    const { listen } = this.#spec;
    if (listen.kind === 'unix') await removeSocket(listen.path);
    this.output.finish();
    await writeRecord(stateDir, { spec: this.#spec, intent: { kind: 'stopped' } });
    generation?.forget();
    this.#phase = { kind: 'stopped' };
  }

  #relaunchLater(): void {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, this.#around.backoff.maxMs);
    const timer = setTimeout(() => void this.#relaunch(), pauseMs);
    this.#phase = { kind: 'waiting', timer, nextStartAt: Date.now() + pauseMs };
  }

  async #relaunch(): Promise<void> {
    const lost = this.#generation;
    // A start that never came to run, because the daemon was killed over it, is no restart.
    const again = lost === undefined || lost.neverRan ? 0 : 1;
    const restarts = (lost?.restarts ?? 0) + again;
    this.#phase = { kind: 'launching' };
    this.#warned = false;
    try {
      await lost?.clear(this.#around.detached);
      await preparePlace(this.#spec);
      // Stopped in the meantime, and perhaps started anew.
      if (this.#phase.kind !== 'launching' || this.#generation !== lost) return;
      await this.#launch(restarts, this.#around.detached);
      this.#log('info', 'instance started again', { restarts: this.#generation?.restarts });
    } catch (error) {
      if (this.#around.detached.aborted || this.#phase.kind !== 'launching') return;
      this.#complain('start again', error);
      this.#relaunchLater();
    }
  }

  #exited(exit: Exit, restartInMs: number): void {
    this.#log('warn', 'instance exited', { ...exit, restartInMs });
    this.#around.exited({ spec: this.#spec, exit, restartInMs });
  }

  #complain(what: string, error: unknown): void {
    if (this.#around.detached.aborted) return;
    const message = error instanceof Error ? error.message : String(error);
    this.#log('error', `cannot ${what} an instance`, { error: message });
  }

  #log(level: Parameters<Log>[0], message: string, fields: Record<string, unknown>): void {
    const { app, release, slot } = this.#spec;
    this.#around.log(level, message, { app, release, slot, ...fields });
  }
}

function nextStart(end: { atUptime: number; pauseMs: number } | undefined): number {
  if (end === undefined) return Date.now();
  return Date.now() + end.pauseMs - (uptimeSeconds() - end.atUptime) * 1_000;
}

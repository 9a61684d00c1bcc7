import { rmSync, statSync } from 'node:fs';
import { ZddError } from '../../protocol/errors.ts';
import type { InstanceSpec } from '../runner.ts';
import { killProcesses, type ProcessGroup, survives } from './ending.ts';
import { environmentOf } from './environment.ts';
import { type Backoff, launchHolder } from './launch.ts';
import { type Ended, type Life, readLife, revoke } from './life.ts';
import type { SlotOutput } from './output/slot-output.ts';
import { bootId, isAlive, processesWith } from './proc.ts';
import { type Generation, lifePath } from './record.ts';
import { waitFor } from './wait.ts';

/** How long a spawned holder may take to come to run, ms: generous, the machine may be busy. */
const CLAIM_TIMEOUT_MS = 10_000;
/** How long a holder may take between creating its file and writing to it, ms. */
const FIRST_NOTE_TIMEOUT_MS = 1_000;
const POLL_MS = 2;

const UNBORN: Life = { holder: null, app: null, ends: [], running: false, revoked: false };

/** What a launch needs of the runner. */
export interface LaunchTools {
  /** The holder script, see `holder-script.ts`. */
  readonly script: string;
  /** PATH of the instances. */
  readonly path: string;
  readonly backoff: Backoff;
}

/** One holder of a slot, from its launch to its end, as its life file tells. */
export class HolderGeneration {
  readonly record: Generation;
  readonly #spec: InstanceSpec;
  readonly #path: string;
  #life: Life = UNBORN;
  #bytesRead = -1;
  #endsTaken = 0;

  constructor(spec: InstanceSpec, folder: string, record: Generation) {
    this.record = record;
    this.#spec = spec;
    this.#path = lifePath(folder, record);
  }

  /** What the holder has noted up to now. */
  get life(): Life {
    const size = statSync(this.#path, { throwIfNoEntry: false })?.size ?? -1;
    if (size !== this.#bytesRead) {
      this.#life = readLife(this.#path) ?? UNBORN;
      this.#bytesRead = size;
    }
    return this.#life;
  }

  /** Restarts of the slot, those before this generation included. */
  get restarts(): number {
    return this.record.restarts + this.life.ends.length;
  }

  /** No holder has come to run, so no app has. Until `settle` one may still come. */
  get neverRan(): boolean {
    return this.#isOfThisBoot() && this.life.holder === null;
  }

  get isHolderAlive(): boolean {
    const { holder } = this.life;
    return this.#isOfThisBoot() && holder !== null && isAlive(holder);
  }

  get isAppAlive(): boolean {
    const { app, running } = this.life;
    return this.#isOfThisBoot() && running && app !== null && isAlive(app);
  }

  /** Ends that nobody has been told of yet. */
  takeEnds(): readonly Ended[] {
    const { ends } = this.life;
    const fresh = ends.slice(this.#endsTaken);
    this.#endsTaken = ends.length;
    return fresh;
  }

  /**
   * Spawns the holder; resolves when it has come to run, which is before the app has.
   * @throws ZDD_START_FAILED, ZDD_PORT_IN_USE; the reason of `signal`. The start may still have
   *   happened: `end` makes sure that it has not.
   */
  async launch(tools: LaunchTools, output: SlotOutput, signal: AbortSignal): Promise<void> {
    const holder = await output.withDescriptors((out, err) =>
      launchHolder({
        spec: this.#spec,
        script: tools.script,
        life: this.#path,
        environment: environmentOf(this.#spec, tools.path),
        backoff: tools.backoff,
        out,
        err,
      }),
    );
    const outcome = await waitFor(
      () => {
        const ended = holder.exitCode !== null || holder.signalCode !== null;
        if (this.life.holder !== null) return 'held';
        return ended ? 'ended' : undefined;
      },
      { timeoutMs: CLAIM_TIMEOUT_MS, everyMs: POLL_MS, signal },
    );
    if (outcome === 'held') return;
    throw new ZddError(
      'ZDD_START_FAILED',
      outcome === 'ended'
        ? `the holder of ${this.#spec.slot} ended before it could start the app`
        : `the holder of ${this.#spec.slot} did not come to run within ${CLAIM_TIMEOUT_MS / 1_000}s`,
      { tries: ['df -h', 'uptime'] },
    );
  }

  /**
   * Makes certain whether this start came to run. A start that has not by now never will: its
   * permission is taken away.
   * @returns true when there was a holder; it may have died since
   */
  async settle(signal: AbortSignal): Promise<boolean> {
    if (!this.#isOfThisBoot()) return false;
    if (revoke(this.#path)) return false;
    const known = await waitFor(
      () => (this.life.holder !== null || this.life.revoked ? true : undefined),
      { timeoutMs: FIRST_NOTE_TIMEOUT_MS, everyMs: POLL_MS, signal },
    );
    if (known === true) return this.life.holder !== null;
    // It was killed between creating its file and writing to it: only its environment tells.
    for (const { pid } of processesWith(`ZDD_SLOT=${this.#spec.slot}`))
      process.kill(pid, 'SIGKILL');
    return false;
  }

  /** What there is to be ended. Call `settle` first. @throws when no holder came to run */
  processes(): ProcessGroup {
    const { holder, app } = this.life;
    const { slot } = this.#spec;
    if (holder === null) throw new Error(`${slot} has no holder`);
    return { name: slot, mark: `ZDD_SLOT=${slot}`, leader: holder, app };
  }

  /** Ends without grace what is left of a generation that has lost its app. */
  async clear(signal: AbortSignal): Promise<void> {
    if ((await this.settle(signal)) && survives(this.processes())) {
      await killProcesses(() => this.processes(), signal);
    }
    this.forget();
  }

  /** Removes the notes of a holder that is gone. A revocation stays: the late may still come. */
  forget(): void {
    if (this.life.holder !== null || !this.#isOfThisBoot()) rmSync(this.#path, { force: true });
  }

  #isOfThisBoot(): boolean {
    return this.record.bootId === bootId();
  }
}

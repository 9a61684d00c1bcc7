import { lstat } from 'node:fs/promises';
import { identify } from '../observe/ssh-logins.ts';
import { userName } from '../observe/users.ts';
import type { Host } from '../pipeline/host.ts';
import { pause, untilDone } from '../pipeline/pause.ts';
import type { Deploys } from '../pipeline/wishes/deploys.ts';
import type { Verified } from '../protocol/audit.ts';
import { type ErrorBody, toErrorBody, ZddError } from '../protocol/errors.ts';
import type { Receipt } from '../protocol/events.ts';
import type { Drop } from '../store/drops.ts';
import { openPlain } from './judge.ts';
import { DropPlace } from './places.ts';

const LOOK_EVERY_MS = 300;

/** Carries a file of the drop folder to its end: deployed or not, and its result beside it. */
export class Carrier {
  readonly #host: Host;
  readonly #deploys: Deploys;
  readonly #signal: AbortSignal;
  /** What stays where it lies although it was refused, so that it is refused once. */
  readonly #stuck = new Map<string, number>();

  constructor(host: Host, deploys: Deploys, signal: AbortSignal) {
    this.#host = host;
    this.#deploys = deploys;
    this.#signal = signal;
  }

  /** From wherever a taken file stands to its end. */
  async goOn(drop: Drop, known?: Verified): Promise<void> {
    const { app, id } = drop;
    const taken = this.#place(app).taken(id);
    const stats = await lstat(taken).catch(() => null);
    if (stats === null) {
      // Cut before it was taken, when it still lies in the folder, or after it was concluded.
      this.#host.drops.remove(id);
      return;
    }
    const verified = known ?? (await identify(stats.uid, stats.mtimeMs));
    let receipt: Receipt | null = null;
    let error: ErrorBody | null = null;
    try {
      receipt = await this.#receipt(drop, await this.#begin(drop, taken, verified));
      error = receipt.error;
    } catch (thrown) {
      this.#signal.throwIfAborted();
      error = toErrorBody(thrown);
      if (error.code === 'ZDD_BUG') this.#host.log.error({ app, err: thrown }, 'drop failed');
      this.#record(drop, verified, null, error.code);
    }
    await this.#conclude(drop, taken, receipt, error);
    this.#host.drops.remove(id);
    this.tell(drop, error === null ? 'done' : 'failed', error);
  }

  /** Refused where it lies. */
  async refuse(
    app: string,
    name: string,
    { uid, ctimeMs }: { uid: number; ctimeMs: number },
    error: ZddError,
  ): Promise<void> {
    const place = this.#place(app);
    const path = place.path(name);
    if (this.#stuck.get(path) === ctimeMs) return;
    const verified = await identify(uid, ctimeMs);
    const body = error.toBody();
    const drop = { id: 0, app, name, owner: verified.user, deployment: null };
    this.#record(drop, verified, null, body.code);
    const moved = await this.#conclude(drop, path, null, body);
    if (!moved) this.#stuck.set(path, (await lstat(path)).ctimeMs);
    this.tell(drop, 'failed', body);
  }

  /** Taken, but nobody wrote down why: the database is older than the folder. Never deployed. */
  async failOrphans(app: string): Promise<void> {
    const place = this.#place(app);
    const known = new Set(this.#host.drops.all().map(({ id }) => id));
    for (const id of await place.takenIds()) {
      if (known.has(id)) continue;
      const { uid } = await lstat(place.taken(id));
      const drop = { id, app, name: `${id}.tar`, owner: await userName(uid), deployment: null };
      const error = new ZddError('ZDD_DROP_REFUSED', 'the agent has no record of this file', {
        tries: ['put it into the folder again'],
      });
      await this.#conclude(drop, place.taken(id), null, error.toBody());
      this.tell(drop, 'failed', error.toBody());
    }
  }

  /** @returns the number of its deployment, which has begun */
  async #begin(drop: Drop, taken: string, verified: Verified): Promise<number> {
    const { app, name, owner, id, deployment } = drop;
    const { journal, artifacts, drops } = this.#host;
    if (deployment !== null && this.#hasBegun(app, deployment)) return deployment;
    await using file = await openPlain(taken);
    const { artifact } = await artifacts.receive(file.createReadStream({ autoClose: false }), {
      length: (await file.stat()).size,
      signal: this.#signal,
    });
    for (;;) {
      try {
        const reply = await this.#deploys.deploy({
          artifact,
          app,
          owner: `${owner} (drop folder)`,
          source: `incoming/${app}/${name}`,
          onNumbered: (number) => drops.numbered(id, number),
        });
        this.#record(drop, verified, reply.deployment, 'started');
        return reply.deployment;
      } catch (error) {
        if (!this.#mayWait(app, error)) throw error;
        do await pause(LOOK_EVERY_MS, this.#signal);
        while (journal.state(app).deployment !== null);
      }
    }
  }

  /** Another deployment ends by itself; a lock by hand does not, and who dropped wants to know. */
  #mayWait(app: string, error: unknown): boolean {
    if (!(error instanceof ZddError)) return false;
    if (error.code === 'ZDD_AGENT_BUSY') return true;
    return error.code === 'ZDD_LOCKED' && this.#host.locks.find(app) === null;
  }

  #hasBegun(app: string, deployment: number): boolean {
    const { journal } = this.#host;
    return (
      journal.state(app).deployment?.id === deployment || journal.receipt(app, deployment) !== null
    );
  }

  async #receipt({ app }: Drop, deployment: number): Promise<Receipt> {
    for (;;) {
      const receipt = this.#host.journal.receipt(app, deployment);
      if (receipt !== null) return receipt;
      await pause(LOOK_EVERY_MS, this.#signal);
    }
  }

  /** @returns false when the file had to stay where it was */
  async #conclude(
    drop: Drop,
    from: string,
    receipt: Receipt | null,
    error: ErrorBody | null,
  ): Promise<boolean> {
    const end = error === null ? 'done' : 'failed';
    const text = resultText(drop, receipt, error);
    return await untilDone(
      () => this.#place(drop.app).conclude(from, drop.name, end, text),
      this.#signal,
      (failure) => {
        this.#host.log.error(
          { app: drop.app, err: failure },
          'the result of a drop is not written',
        );
      },
    );
  }

  #record(drop: Drop, verified: Verified, deployment: number | null, outcome: string): void {
    const { audit, log } = this.#host;
    try {
      const seq = audit.begin({
        app: drop.app,
        verb: 'incoming',
        details: { file: drop.name },
        claimed: { owner: null, cli: null },
      });
      audit.end(seq, { verified, deployment, outcome });
    } catch (error) {
      log.error({ err: error }, 'audit cannot be written');
    }
  }

  tell({ app, name, owner }: Drop, step: 'taken' | 'done' | 'failed', error: ErrorBody | null) {
    try {
      this.#host.journal.tell({
        type: 'drop',
        app,
        deployment: null,
        file: name,
        owner,
        step,
        error,
      });
    } catch (failure) {
      this.#host.log.error({ app, err: failure }, 'event cannot be journaled');
    }
  }

  #place(app: string): DropPlace {
    return new DropPlace(this.#host.layout.incoming, app);
  }
}

/** For people and programs: the sentence first. */
function resultText(drop: Drop, receipt: Receipt | null, error: ErrorBody | null): string {
  const { app, name, owner } = drop;
  const number = receipt === null ? '' : ` #${receipt.deployment}`;
  const summary =
    error === null
      ? `${app}${number}: ${receipt?.release ?? ''} is live, ${receipt?.lost ?? 0} of ${receipt?.requests ?? 0} requests lost`
      : `${app}${number}: ${error.message} (${error.code})`;
  const outcome = error === null ? 'done' : 'failed';
  const result = { schemaVersion: 1, outcome, summary, app, file: name, owner };
  return `${JSON.stringify({ ...result, at: new Date().toISOString(), error, receipt }, null, 2)}\n`;
}

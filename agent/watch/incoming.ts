import { lstat, mkdir } from 'node:fs/promises';
import { relative, sep } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import { identify } from '../observe/ssh-logins.ts';
import { userName } from '../observe/users.ts';
import type { Deploys } from '../pipeline/deploys.ts';
import type { Host } from '../pipeline/host.ts';
import { pause, untilDone } from '../pipeline/pause.ts';
import type { Verified } from '../protocol/audit.ts';
import { type ErrorBody, toErrorBody, ZddError } from '../protocol/errors.ts';
import type { Receipt } from '../protocol/events.ts';
import type { Drop } from '../store/drops.ts';
import { digestOf, isTemporary, judge, openPlain } from './judge.ts';
import { DropPlace } from './places.ts';

/** The folder of an app that exists, or may. */
const APP = /^[a-z][a-z0-9-]{0,30}$/;
/** What comes within this is put in order before the first is taken, ms. */
const GATHER_MS = 300;
const LOOK_EVERY_MS = 300;
/** Where the kernel cannot tell, the folder is looked at this often. */
const POLL_MS = 2_000;

/** Times that tests shorten, ms. */
export interface IncomingTimes {
  /** A file is looked at when it has not grown for this long. */
  readonly settleMs: number;
  /** How long an upload that stands still is waited for. */
  readonly patienceMs: number;
}

const USUAL: IncomingTimes = { settleMs: 2_000, patienceMs: 30_000 };

/** Seen, and not complete. */
interface Unfinished {
  readonly ctimeMs: number;
  readonly since: number;
  readonly timer: NodeJS.Timeout;
}

/**
 * Deploys what is put into the drop folder: for each app one file after the other, in the order of
 * arrival. A file is taken (renamed out of everybody's reach and written down), deployed like any
 * artifact, and moved to `done/` or `failed/` beside its result. Each of these may be cut by SIGKILL:
 * the record says how far it came, the journal whether its deployment began.
 */
export class Incoming {
  readonly #host: Host;
  readonly #deploys: Deploys;
  readonly #signal: AbortSignal;
  readonly #times: IncomingTimes;
  readonly #maxBytes: () => number;
  /** Waiting to be looked at: by app, name to time of arrival. */
  readonly #waiting = new Map<string, Map<string, number>>();
  readonly #workers = new Map<string, Promise<void>>();
  readonly #unfinished = new Map<string, Unfinished>();
  /** What stays where it lies although it was refused, so that it is refused once. */
  readonly #stuck = new Map<string, number>();
  #watcher: FSWatcher | null = null;

  constructor(
    host: Host,
    deploys: Deploys,
    maxBytes: () => number,
    signal: AbortSignal,
    times: IncomingTimes = USUAL,
  ) {
    this.#host = host;
    this.#deploys = deploys;
    this.#maxBytes = maxBytes;
    this.#signal = signal;
    this.#times = times;
  }

  /** Goes on with what was taken before, then watches until the signal. */
  async open(): Promise<void> {
    const { journal, layout } = this.#host;
    await mkdir(layout.incoming, { recursive: true, mode: 0o750 });
    for (const app of journal.apps()) await this.#make(app);
    journal.subscribe(({ type, app }) => {
      if (type === 'deployment_started') void this.#make(app);
    });
    for (const drop of this.#host.drops.all()) this.#work(drop.app);
    this.#watch('native');
  }

  async close(): Promise<void> {
    for (const { timer } of this.#unfinished.values()) clearTimeout(timer);
    await this.#watcher?.close();
    await Promise.all(this.#workers.values());
  }

  async #make(app: string): Promise<void> {
    await new DropPlace(this.#host.layout.incoming, app).make().catch((error: unknown) => {
      this.#host.log.error({ app, err: error }, 'the drop folder of the app cannot be made');
    });
  }

  #watch(backend: 'native' | 'polling'): void {
    const { incoming } = this.#host.layout;
    const watcher = watch(incoming, {
      backend,
      pollingInterval: POLL_MS,
      depth: 1,
      followSymlinks: false,
      ignoreInitial: false,
      atomic: false,
      ignorePermissionErrors: true,
      awaitWriteFinish: { stabilityThreshold: this.#times.settleMs, pollInterval: 100 },
      ignored: (path) => {
        const [, name] = relative(incoming, path).split(sep);
        return name !== undefined && (DropPlace.isOwn(name) || isTemporary(name));
      },
    });
    const arrived = (path: string): void => this.#arrived(path);
    watcher.on('add', arrived).on('change', arrived).on('addDir', arrived);
    watcher.on('error', (error) => {
      this.#host.log.error({ err: error }, 'the drop folder cannot be watched');
      // Other programs have taken all of the kernel's watches: look for oneself, or miss files.
      if (backend === 'polling' || this.#signal.aborted || this.#watcher !== watcher) return;
      void watcher.close();
      this.#watch('polling');
    });
    this.#watcher = watcher;
  }

  #arrived(path: string): void {
    const [app = '', given, ...deeper] = relative(this.#host.layout.incoming, path).split(sep);
    if (given === undefined || deeper.length > 0 || !APP.test(app)) return;
    // The archive may have come before its digest.
    const name = digestOf(given) ?? given;
    void lstat(this.#place(app).path(name)).then(
      ({ ctimeMs }) => {
        if (this.#signal.aborted) return;
        const waiting = this.#waiting.get(app) ?? new Map<string, number>();
        waiting.set(name, ctimeMs);
        this.#waiting.set(app, waiting);
        this.#work(app);
      },
      () => undefined,
    );
  }

  #place(app: string): DropPlace {
    return new DropPlace(this.#host.layout.incoming, app);
  }

  /** One worker an app: what is under way ends before the next begins. */
  #work(app: string): void {
    if (this.#workers.has(app)) return;
    const work = this.#workOff(app)
      .catch((error: unknown) => {
        if (this.#signal.aborted) return;
        this.#host.log.error(
          { app, err: error },
          'the drop folder is given up until the next file',
        );
      })
      .finally(() => {
        this.#workers.delete(app);
        if ((this.#waiting.get(app)?.size ?? 0) > 0 && !this.#signal.aborted) this.#work(app);
      });
    this.#workers.set(app, work);
  }

  async #workOff(app: string): Promise<void> {
    await this.#make(app);
    for (const drop of this.#host.drops.all()) if (drop.app === app) await this.#goOn(drop);
    await this.#failOrphans(app);
    for (;;) {
      await pause(GATHER_MS, this.#signal);
      const waiting = this.#waiting.get(app);
      const first = [...(waiting ?? [])].toSorted((a, b) => a[1] - b[1])[0];
      if (waiting === undefined || first === undefined) return;
      waiting.delete(first[0]);
      await this.#look(app, first[0]);
    }
  }

  async #look(app: string, name: string): Promise<void> {
    const path = this.#place(app).path(name);
    const before = this.#unfinished.get(path);
    clearTimeout(before?.timer);
    const judged = await judge(path, name, this.#maxBytes(), this.#signal);
    switch (judged.kind) {
      case 'gone':
        this.#unfinished.delete(path);
        return;
      case 'unfinished': {
        const { ctimeMs } = judged.stats;
        const same = before?.ctimeMs === ctimeMs ? before : undefined;
        const since = same?.since ?? performance.now();
        if (performance.now() - since >= this.#times.patienceMs) {
          this.#unfinished.delete(path);
          await this.#refuse(app, name, judged.stats, judged.error);
          return;
        }
        const timer = setTimeout(() => this.#arrived(path), this.#times.patienceMs);
        this.#unfinished.set(path, { ctimeMs, since, timer: timer.unref() });
        return;
      }
      case 'refused':
        this.#unfinished.delete(path);
        await this.#refuse(app, name, judged.stats, judged.error);
        return;
      case 'ready': {
        this.#unfinished.delete(path);
        const { uid, ctimeMs } = judged.stats;
        const verified = await identify(uid, ctimeMs);
        const drop = this.#host.drops.add(app, name, verified.user);
        try {
          await this.#place(app).take(name, drop.id);
        } catch (error) {
          this.#host.drops.remove(drop.id);
          await this.#refuse(app, name, judged.stats, notTaken(this.#place(app).dir, error));
          return;
        }
        this.#tell(drop, 'taken', null);
        await this.#goOn(drop, verified);
      }
    }
  }

  /** Refused where it lies. */
  async #refuse(
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
    this.#tell(drop, 'failed', body);
  }

  /** From wherever a taken file stands to its end. */
  async #goOn(drop: Drop, known?: Verified): Promise<void> {
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
    this.#tell(drop, error === null ? 'done' : 'failed', error);
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

  /** Taken, but nobody wrote down why: the database is older than the folder. Never deployed. */
  async #failOrphans(app: string): Promise<void> {
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
      this.#tell(drop, 'failed', error.toBody());
    }
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

  #tell({ app, name, owner }: Drop, step: 'taken' | 'done' | 'failed', error: ErrorBody | null) {
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
}

function notTaken(dir: string, cause: unknown): ZddError {
  return new ZddError('ZDD_DROP_REFUSED', 'the agent may not move it out of its folder', {
    evidence: [['error', cause instanceof Error ? cause.message : String(cause)]],
    tries: [`sudo chown zdd:zdd ${dir} && sudo chmod 3770 ${dir}`],
    cause,
  });
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

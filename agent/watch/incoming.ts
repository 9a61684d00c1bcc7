import { lstat, mkdir } from 'node:fs/promises';
import { relative, sep } from 'node:path';
import { identify } from '../observe/ssh-logins.ts';
import type { Host } from '../pipeline/host.ts';
import { pause } from '../pipeline/pause.ts';
import type { Deploys } from '../pipeline/wishes/deploys.ts';
import { ZddError } from '../protocol/errors.ts';
import { Carrier } from './carrier.ts';
import { digestOf, judge } from './judge.ts';
import { DropPlace } from './places.ts';
import { watchDrops } from './watcher.ts';

/** The folder of an app that exists, or may. */
const APP = /^[a-z][a-z0-9-]{0,30}$/;
/** What comes within this is put in order before the first is taken, ms. */
const GATHER_MS = 300;
/** How long an upload that stands still is waited for, ms. */
const PATIENCE_MS = 30_000;

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
  readonly #carrier: Carrier;
  readonly #signal: AbortSignal;
  readonly #maxBytes: () => number;
  /** Waiting to be looked at: by app, name to time of arrival. */
  readonly #waiting = new Map<string, Map<string, number>>();
  readonly #workers = new Map<string, Promise<void>>();
  readonly #unfinished = new Map<string, Unfinished>();
  #unwatch: () => Promise<void> = async () => {};

  constructor(host: Host, deploys: Deploys, maxBytes: () => number, signal: AbortSignal) {
    this.#host = host;
    this.#carrier = new Carrier(host, deploys, signal);
    this.#maxBytes = maxBytes;
    this.#signal = signal;
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
    this.#unwatch = watchDrops(layout.incoming, this.#host.log, (path) => this.#arrived(path));
  }

  async close(): Promise<void> {
    for (const { timer } of this.#unfinished.values()) clearTimeout(timer);
    await this.#unwatch();
    await Promise.all(this.#workers.values());
  }

  async #make(app: string): Promise<void> {
    await new DropPlace(this.#host.layout.incoming, app).make().catch((error: unknown) => {
      this.#host.log.error({ app, err: error }, 'the drop folder of the app cannot be made');
    });
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
    for (const drop of this.#host.drops.all()) if (drop.app === app) await this.#carrier.goOn(drop);
    await this.#carrier.failOrphans(app);
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
        if (performance.now() - since >= PATIENCE_MS) {
          this.#unfinished.delete(path);
          await this.#carrier.refuse(app, name, judged.stats, judged.error);
          return;
        }
        const timer = setTimeout(() => this.#arrived(path), PATIENCE_MS);
        this.#unfinished.set(path, { ctimeMs, since, timer: timer.unref() });
        return;
      }
      case 'refused':
        this.#unfinished.delete(path);
        await this.#carrier.refuse(app, name, judged.stats, judged.error);
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
          await this.#carrier.refuse(
            app,
            name,
            judged.stats,
            notTaken(this.#place(app).dir, error),
          );
          return;
        }
        this.#carrier.tell(drop, 'taken', null);
        await this.#carrier.goOn(drop, verified);
      }
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

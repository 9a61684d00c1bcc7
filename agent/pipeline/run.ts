import { step } from '../core/deployment.ts';
import { type Effect, effectsOf } from '../core/effects.ts';
import type { AppEvent } from '../core/events.ts';
import { type AppState, candidateOf, type Ended, type Failure, pausedOf } from '../core/model.ts';
import { isServed } from '../core/traffic.ts';
import { toErrorBody } from '../protocol/errors.ts';
import type { NewEvent } from '../protocol/events.ts';
import { Leaving } from '../runner/runner.ts';
import type { Host } from './host.ts';
import { Meter } from './meter.ts';
import { Pace } from './pace.ts';
import { pause, untilDone } from './pause.ts';
import { perform } from './perform.ts';
import { composeReceipt } from './receipt.ts';

interface UnderWay {
  readonly controller: AbortController;
  readonly finished: Promise<void>;
}

/**
 * Runs one app: takes events one at a time, journals each step before it acts on it, and keeps
 * exactly those effects under way that belong to the state.
 */
export class AppRun {
  readonly app: string;
  readonly #host: Host;
  #state: AppState;
  #tail: Promise<void> = Promise.resolve();
  #meter = new Meter();
  readonly #pace = new Pace();
  readonly #underWay = new Map<string, UnderWay>();
  /** Nothing is begun any more; what ends well is still journaled. */
  #closing = false;
  /** Nothing is journaled any more either. */
  #closed = false;

  constructor(host: Host, app: string) {
    this.app = app;
    this.#host = host;
    this.#state = host.journal.state(app);
  }

  get state(): AppState {
    return this.#state;
  }

  /** Nothing that happens is taken in any more: the agent stops. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Begins, or after a restart goes on with, whatever belongs to the state. */
  resume(): void {
    this.#balance();
  }

  /**
   * Feeds an event to the app; resolves once its step is journaled.
   * @returns whether it changed anything.
   */
  async post(event: AppEvent, summary: string | null = null, ms = 0): Promise<boolean> {
    const turn = this.#tail.then(() => this.#handle(event, summary, ms));
    this.#tail = turn.then(
      () => undefined,
      () => undefined,
    );
    return await turn;
  }

  /**
   * Ends all effects where they can be ended: waits are cut, an atomic step is finished and
   * journaled. The next start goes on from there. Apps run on.
   * @param withinMs what has not ended by then is left as it is: every step is safe under SIGKILL
   */
  async close(withinMs: number): Promise<void> {
    this.#closing = true;
    for (const { controller } of this.#underWay.values()) controller.abort(closing());
    const enough = new AbortController();
    await Promise.race([
      Promise.all([...this.#underWay.values()].map(({ finished }) => finished)),
      pause(withinMs, enough.signal).catch(() => undefined),
    ]);
    enough.abort();
    this.#closed = true;
    await this.#tail;
  }

  async #handle(event: AppEvent, summary: string | null, ms: number): Promise<boolean> {
    if (this.#closed) return false;
    const { now, journal } = this.#host;
    const before = this.#state;
    const { state, ended } = step(before, event, now());
    if (ended === null && JSON.stringify(state) === JSON.stringify(before)) return false;
    await this.#look();
    const story = this.#story(before, state, event, summary, ms);
    // The steps of this very event are not in the journal yet.
    const receipt = ended === null ? null : this.#receipt(state, ended, story);
    if (receipt !== null) {
      story.push({
        type: 'deployment_ended',
        app: this.app,
        deployment: receipt.deployment,
        receipt,
      });
    }
    journal.commit({
      event,
      state,
      story,
      receipt,
      liveSince: beganToServe(before, state) ? now() : null,
    });
    this.#state = state;
    if (ended !== null) this.#judgeRelease(ended);
    this.#balance();
    return true;
  }

  /** Ends effects that no longer belong to the state, begins those that now do. */
  #balance(): void {
    if (this.#closing) return;
    const wanted = new Map(effectsOf(this.#state).map((effect) => [keyOf(effect), effect]));
    for (const [key, { controller }] of this.#underWay) {
      if (!wanted.has(key)) controller.abort(new Error('the state moved on'));
    }
    for (const [key, effect] of wanted) {
      if (!this.#underWay.has(key)) this.#begin(key, effect);
    }
  }

  #begin(key: string, effect: Effect): void {
    const controller = new AbortController();
    const finished = this.#run(effect, controller.signal).finally(() => {
      this.#underWay.delete(key);
      // Wanted again while it was being ended: a release that was revived and retired once more.
      if (controller.signal.aborted) this.#balance();
    });
    this.#underWay.set(key, { controller, finished });
  }

  async #run(effect: Effect, signal: AbortSignal): Promise<void> {
    const began = performance.now();
    const { event, summary } = await this.#outcome(effect, signal);
    if (event === null) return;
    // Under way until its step is journaled, so that nothing begins it a second time. A journal that
    // cannot be written (a full disk) is waited for: nothing is done that is not written down.
    await untilDone(
      () => this.post(event, summary, performance.now() - began),
      signal,
      (error) => this.#host.log.error({ app: this.app, err: error }, 'step cannot be journaled'),
    ).catch(() => undefined);
  }

  async #outcome(
    effect: Effect,
    signal: AbortSignal,
  ): Promise<{ event: AppEvent | null; summary: string | null }> {
    const deployment = 'deployment' in effect ? effect.deployment : null;
    const tell = (event: NewEvent): void => this.#tell(event);
    try {
      const task = { app: this.app, deployment, signal, pace: this.#pace, tell };
      return await perform(this.#host, task, effect);
    } catch (error) {
      const givenUp = signal.aborted || this.#closing;
      return { event: givenUp ? null : this.#failed(effect, error), summary: null };
    }
  }

  /** The story is for people: that it cannot be told now must not fail what is being done. */
  #tell(event: NewEvent): void {
    try {
      this.#host.journal.tell(event);
    } catch (error) {
      this.#host.log.error({ app: this.app, err: error }, 'event cannot be journaled');
    }
  }

  #failed(effect: Effect, error: unknown): AppEvent {
    const body = toErrorBody(error);
    if (body.code === 'ZDD_BUG')
      this.#host.log.error({ app: this.app, err: error }, 'effect failed');
    const phase = this.#state.deployment?.phase.name ?? 'unpacking';
    const deployment = 'deployment' in effect ? effect.deployment : 0;
    const { code, message, evidence, tries } = body;
    const failure: Failure = { code, message, evidence, tries };
    return { type: 'failed', deployment, phase, failure };
  }

  /** Reads HAProxy's counters once a step; a HAProxy that does not answer is no reason to wait. */
  async #look(): Promise<void> {
    try {
      const counters = await this.#host.proxy.counters(this.app, AbortSignal.timeout(500));
      this.#meter.add(counters, isServed(this.#state));
    } catch {
      // The receipt then covers what was seen.
    }
  }

  #receipt(
    after: AppState,
    ended: Ended,
    story: readonly NewEvent[],
  ): ReturnType<typeof composeReceipt> {
    const { journal, now } = this.#host;
    const told = journal.events({ app: this.app, deployment: ended.deployment.id, since: 0 });
    const { stable } = this.#state;
    return composeReceipt(stable, after, ended, [...told, ...story], this.#meter.tally(), now());
  }

  #judgeRelease({ deployment, outcome }: Ended): void {
    const candidate = candidateOf(deployment.phase);
    if (candidate === null || outcome === 'succeeded' || outcome === 'aborted') return;
    this.#host.releases.judge(this.app, candidate.release, 'bad');
  }

  #story(
    before: AppState,
    after: AppState,
    event: AppEvent,
    summary: string | null,
    ms: number,
  ): NewEvent[] {
    const { app } = this;
    const story: NewEvent[] = [];
    if (before.deployment === null && after.deployment !== null) {
      const { id, kind, owner, source } = after.deployment;
      this.#meter = new Meter();
      story.push({
        type: 'deployment_started',
        app,
        deployment: id,
        kind,
        owner,
        source,
        previous: before.stable?.release ?? null,
        ...(before.stopped === null ? {} : { stopped: before.stopped.release }),
      });
    }
    const from = before.deployment?.phase.name ?? null;
    const deployment = (after.deployment ?? before.deployment)?.id ?? null;
    if (from !== null && summary !== null && (event.type === 'done' || event.type === 'unpacked')) {
      story.push({ type: 'step_done', app, deployment, step: { phase: from, ms, summary } });
    }
    story.push(...pauses(before, after));
    const to = after.deployment?.phase.name ?? null;
    if (to !== null && to !== from)
      story.push({ type: 'phase_changed', app, deployment, from, to });
    return story;
  }
}

/** A canary or a rolling deployment that stays where it is, or goes on. */
function pauses(before: AppState, after: AppState): NewEvent[] {
  const [was, is] = [before, after].map(({ deployment }) =>
    deployment === null ? null : pausedOf(deployment),
  );
  const subject = { app: after.app, deployment: after.deployment?.id ?? null };
  if (was == null && is != null) {
    return [{ type: 'paused', ...subject, by: is.by, reason: is.reason }];
  }
  const goesBack = ['returning', 'reverting'].includes(after.deployment?.phase.name ?? '');
  return was != null && is == null && !goesBack ? [{ type: 'resumed', ...subject }] : [];
}

/** Another release than before; one that is restarted or scaled serves as it did. */
function beganToServe(before: AppState, after: AppState): boolean {
  return after.stable !== null && after.stable.release !== before.stable?.release;
}

function keyOf(effect: Effect): string {
  return JSON.stringify(effect);
}

function closing(): Error {
  return new Leaving('the agent is stopping');
}

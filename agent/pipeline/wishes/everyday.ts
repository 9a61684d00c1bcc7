import type { Target } from '../../core/events.ts';
import type { AppState, Part, ReleaseId } from '../../core/model.ts';
import type { DeploymentReply } from '../../protocol/api.ts';
import type { AppConfig } from '../../protocol/app-config.ts';
import { ZddError } from '../../protocol/errors.ts';
import { configOf, type Host } from '../host.ts';
import type { Asker } from './asker.ts';
import type { Deploys } from './deploys.ts';
import { assertUnlocked } from './lock.ts';
import { policyOf } from './policy.ts';
import { hasNumbers, type ScaleWish, scaleFor } from './scale.ts';
import { unwatched } from './strategy.ts';

/** Who wants it, and the times that shall differ from the usual. */
export interface AgainWish extends Asker {
  readonly bakeMs?: number | undefined;
  readonly probeTimeoutMs?: number | undefined;
}

/**
 * Restart, scale, start and stop: deployments of a release that is known already. Everything is
 * checked before anything is changed; asked for what is so already, they say so.
 */
export class Everyday {
  readonly #host: Host;
  readonly #deploys: Deploys;

  constructor(host: Host, deploys: Deploys) {
    this.#host = host;
    this.#deploys = deploys;
  }

  /**
   * A fresh generation of the live release takes over, or fresh instances of some process types.
   * @throws ZDD_USAGE for a process type that it does not have, ZDD_APP_UNKNOWN, ZDD_STOPPED,
   * ZDD_NOTHING_RUNNING, ZDD_LOCKED, ZDD_HAPROXY_*
   */
  async restart(
    app: string,
    wish: AgainWish & { readonly processes?: readonly string[] | undefined },
  ): Promise<DeploymentReply> {
    const state = this.#idle(app);
    const release = liveRelease(state);
    const part = partOf(this.#configOf(app, release), wish.processes ?? []);
    if (part?.takesTraffic === false && wish.bakeMs !== undefined) {
      throw new ZddError('ZDD_USAGE', 'workers have no traffic to watch: --bake is for web', {
        traffic: 'untouched: nothing has changed',
        tries: [`zdd-agent restart ${part.processes.join(' ')} --app ${app}`],
      });
    }
    const target: Target = { kind: 'restart', release, ...(part === null ? {} : { part }) };
    return await this.#again(app, target, release, wish);
  }

  /**
   * A generation with other numbers of instances takes over.
   * @throws ZDD_SCALE_INVALID, and as `restart`
   */
  async scale(app: string, processes: ScaleWish, wish: AgainWish): Promise<DeploymentReply> {
    const state = this.#idle(app);
    const release = state.stopped?.release ?? liveRelease(state);
    const config = this.#configOf(app, release);
    const scale = scaleFor(config, state.scale, processes);
    if (state.stable === null || this.#runsAs(state, config, scale)) {
      assertUnlocked(this.#host, app, []);
      const since = this.#host.journal.lastSeq();
      const heard = await this.#deploys.run(app).post({ type: 'scaled', scale });
      if (!heard) this.#deploys.assertOpen();
      const result = state.stable === null ? 'scaled_for_start' : 'already_scaled';
      return { app, deployment: 0, result, since };
    }
    return await this.#again(app, { kind: 'scale', release, scale }, release, wish);
  }

  /**
   * What was stopped comes back, through the same checks as a new release.
   * @throws ZDD_APP_UNKNOWN, ZDD_NOTHING_RUNNING, ZDD_LOCKED, ZDD_HAPROXY_*
   */
  async start(app: string, wish: AgainWish): Promise<DeploymentReply> {
    const running = this.#running(app, 'start');
    if (running !== null) return running;
    const { stable, stopped } = this.#idle(app);
    if (stable !== null) return this.#already(app, 'already_started');
    if (stopped === null) throw nothingLive(app);
    const { release } = stopped;
    return await this.#again(app, { kind: 'start', release }, release, wish);
  }

  /**
   * Takes an app out of traffic, lets what has begun end, and stops its instances.
   * @throws ZDD_APP_UNKNOWN, ZDD_NOTHING_RUNNING, ZDD_LOCKED, ZDD_HAPROXY_*
   */
  async stop(app: string, asker: Asker): Promise<DeploymentReply> {
    const running = this.#running(app, 'stop');
    if (running !== null) return running;
    const state = this.#idle(app);
    if (state.stopped !== null) return this.#already(app, 'already_stopped');
    const release = liveRelease(state);
    return await this.#again(app, { kind: 'stop' }, release, asker);
  }

  async #again(
    app: string,
    target: Target,
    release: ReleaseId,
    wish: AgainWish,
  ): Promise<DeploymentReply> {
    const config = this.#configOf(app, release);
    await this.#deploys.refuseWithoutHaproxy(config);
    // The old generation is the same release: there is nothing to keep it warm for.
    const policy = { ...policyOf(config, { ...wish, bakeMs: wish.bakeMs ?? 0 }), warmMs: 0 };
    const what = target.kind === 'restart' ? (target.part?.processes ?? []) : [];
    const source = `${[target.kind, ...what].join(' ')} of ${release}`;
    // Workers that change where they are leave the web instances alone.
    const moves = target.kind !== 'restart' || target.part?.takesTraffic !== false;
    const rolled = { config, written: unwatched(config.strategy) };
    return await this.#deploys.request(app, target, wish, source, policy, {
      ...(moves ? { rolled } : {}),
    });
  }

  /** The state of an app of which no deployment runs. @throws ZDD_APP_UNKNOWN, ZDD_LOCKED, ZDD_AGENT_BUSY */
  #idle(app: string): AppState {
    this.#deploys.assertOpen();
    const { state } = this.#deploys.known(app);
    if (state.deployment !== null) throw this.#deploys.locked(state);
    return state;
  }

  /** Said twice, it is the same stop, or the same start. @throws ZDD_APP_UNKNOWN */
  #running(app: string, kind: 'start' | 'stop'): DeploymentReply | null {
    const { deployment } = this.#deploys.known(app).state;
    if (deployment?.kind !== kind) return null;
    if (['returning', 'reverting'].includes(deployment.phase.name)) return null;
    const result = kind === 'start' ? 'already_starting' : 'already_stopping';
    return { ...this.#already(app, result), deployment: deployment.id };
  }

  #already(app: string, result: string): DeploymentReply {
    return { app, deployment: 0, result, since: this.#host.journal.lastSeq() };
  }

  #configOf(app: string, release: ReleaseId): AppConfig {
    return configOf(this.#host, app, { release, deployment: 0 });
  }

  #runsAs({ app, stable }: AppState, config: AppConfig, scale: AppState['scale']): boolean {
    return stable !== null && hasNumbers(this.#host.slots.of(app, stable), config, scale);
  }
}

/** The process types that a restart is for; null when it is for all. @throws ZDD_USAGE */
function partOf({ app, processes }: AppConfig, wanted: readonly string[]): Part | null {
  const names = Object.keys(processes);
  const unknown = wanted.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new ZddError('ZDD_USAGE', `there is no process type ${unknown} in the live release`, {
      evidence: [['process types', names.join(', ')]],
      traffic: 'untouched: nothing has changed',
      tries: [`zdd-agent restart${names.includes('worker') ? ' worker' : ''} --app ${app}`],
    });
  }
  if (wanted.length === 0 || names.every((name) => wanted.includes(name))) return null;
  const chosen = names.filter((name) => wanted.includes(name));
  return { processes: chosen, takesTraffic: chosen.includes('web') };
}

/** @throws ZDD_STOPPED, ZDD_NOTHING_RUNNING */
function liveRelease({ app, stable, stopped }: AppState): ReleaseId {
  if (stable !== null) return stable.release;
  if (stopped === null) throw nothingLive(app);
  throw new ZddError('ZDD_STOPPED', `${app} is stopped, by ${stopped.owner}`, {
    traffic: 'none: HAProxy answers 503 with Retry-After',
    tries: ['zdd-agent start', 'zdd-agent push'],
  });
}

function nothingLive(app: string): ZddError {
  return new ZddError('ZDD_NOTHING_RUNNING', `no release of ${app} has served yet`, {
    tries: ['zdd-agent push'],
  });
}

import type { Target } from '../../core/events.ts';
import type { AppState, DeploymentKind, Policy } from '../../core/model.ts';
import type { DeploymentReply } from '../../protocol/api.ts';
import type { AppConfig } from '../../protocol/app-config.ts';
import { ZddError } from '../../protocol/errors.ts';
import { holdOf } from '../../protocol/hold.ts';
import { configOf, type Host } from '../host.ts';
import { AppRun } from '../run.ts';
import { type Asker, requestOf } from './asker.ts';
import { assertUnlocked } from './lock.ts';
import { effectiveConfig } from './overrides.ts';
import { type PolicyWish, policyOf } from './policy.ts';
import { refuseRouteConflicts } from './route-conflicts.ts';
import { steer } from './steer.ts';
import { type Rolled, rollingFor, strategyOf, writtenStrategy } from './strategy.ts';

/** A checked wish to deploy an artifact. */
export interface DeployWish extends PolicyWish, Asker {
  readonly artifact: string;
  readonly source: string;
  /** As `strategy` of zdd.yaml; its own unless given. */
  readonly strategy?: string | undefined;
  /** The only app it may be for; the artifact's own word unless given. */
  readonly app?: string | undefined;
  /** Told the number before the deployment begins. */
  readonly onNumbered?: (deployment: number) => void;
}

/** How a deployment is begun. */
interface Beginning {
  readonly onNumbered?: (deployment: number) => void;
  /** How it shall come, if that may be instance by instance. */
  readonly rolled?: Rolled;
  /** Its configuration: while nothing is unpacked, the journal cannot tell its routes. */
  readonly config?: AppConfig;
  /** Although somebody has locked the app. */
  readonly force?: boolean;
  /** What to type to do it all the same. */
  readonly although?: string;
}

/** What a deployment was to begin with has changed between the look at it and its turn. */
export class TargetGone extends ZddError {
  constructor(app: string) {
    super('ZDD_LOCKED', `${app} has changed in this very moment`, {
      tries: [`zdd-agent status ${app}`],
    });
  }
}

/** The verbs of the control API. Everything is checked before anything is changed. */
export class Deploys {
  readonly #host: Host;
  readonly #runs = new Map<string, AppRun>();
  /** Apps with a wish being checked: the lock between check and journal. */
  readonly #claimed = new Set<string>();
  /** What the last wish of an app was, until it can be read off the journal. */
  readonly #wished = new Map<string, AppConfig>();
  #open = false;

  constructor(host: Host) {
    this.#host = host;
  }

  /** Takes wishes from now on: what was found at the start has been put in order. */
  open(): void {
    this.#open = true;
  }

  run(app: string): AppRun {
    const known = this.#runs.get(app);
    if (known !== undefined) return known;
    const run = new AppRun(this.#host, app);
    this.#runs.set(app, run);
    return run;
  }

  /** @throws ZDD_ARTIFACT_*, ZDD_CONFIG_*, ZDD_ROUTE_CONFLICT, ZDD_LOCKED */
  async deploy(wish: DeployWish): Promise<DeploymentReply> {
    const { artifacts } = this.#host;
    if (!artifacts.has(wish.artifact)) {
      throw new ZddError('ZDD_ARTIFACT_UNKNOWN', `no artifact ${wish.artifact.slice(0, 12)} here`, {
        tries: ['zdd-agent push'],
      });
    }
    const { config } = await effectiveConfig(this.#host, artifacts.path(wish.artifact));
    if (wish.app !== undefined && wish.app !== config.app) {
      throw new ZddError('ZDD_DROP_REFUSED', `its zdd.yaml is of the app ${config.app}`, {
        evidence: [['folder', wish.app]],
        tries: [`put it into the folder ${config.app}`],
      });
    }
    const rolled = { config, written: writtenStrategy(config, wish.strategy) };
    await this.refuseWithoutHaproxy(config);
    this.refuseConflicts(config);
    return await this.request(
      config.app,
      { kind: 'artifact', artifact: wish.artifact },
      wish,
      wish.source,
      { ...policyOf(config, wish), strategy: strategyOf(rolled) },
      { ...wish, config, rolled },
    );
  }

  /**
   * Once more what did not succeed last, as if it had been pushed again.
   * @throws ZDD_APP_UNKNOWN, ZDD_NOTHING_TO_RETRY, ZDD_RELEASE_UNKNOWN, ZDD_ROUTE_CONFLICT, ZDD_LOCKED
   */
  async retry(app: string, asker: Asker): Promise<DeploymentReply> {
    const { state } = this.known(app);
    if (state.deployment !== null) throw this.locked(state);
    const last = this.#host.journal.lastReceipt(app);
    const release = last?.kind === 'deploy' && last.outcome !== 'succeeded' ? last.release : null;
    if (last === null || release === null) {
      throw new ZddError('ZDD_NOTHING_TO_RETRY', `${app} has no deployment to try once more`, {
        ...(state.stable === null ? {} : { traffic: `100 % on ${state.stable.release}` }),
        tries: ['zdd-agent push', `zdd-agent releases ${app}`],
      });
    }
    const config = configOf(this.#host, app, { release, deployment: 0 });
    const rolled = { config, written: writtenStrategy(config, undefined) };
    await this.refuseWithoutHaproxy(config);
    this.refuseConflicts(config);
    const { releasedElsewhere = false } = last;
    return await this.request(
      app,
      {
        kind: 'retry',
        release,
        hasReleaseCommand: config.release !== undefined && !releasedElsewhere,
      },
      asker,
      `retry of #${last.deployment}`,
      { ...policyOf(config, { releasedElsewhere }), strategy: strategyOf(rolled) },
      { config, rolled },
    );
  }

  async abort(app: string, asker: Asker): Promise<DeploymentReply> {
    return await steer(this.#host, this.known(app), 'abort', asker);
  }

  /** @param full past all steps of a canary and the bake */
  async promote(app: string, asker: Asker, full = false): Promise<DeploymentReply> {
    return await steer(this.#host, this.known(app), 'promote', asker, full);
  }

  /** @throws ZDD_NOT_IN_CANARY */
  async pause(app: string, asker: Asker): Promise<DeploymentReply> {
    return await steer(this.#host, this.known(app), 'pause', asker);
  }

  /** @throws ZDD_NOT_IN_CANARY */
  async resume(app: string, asker: Asker): Promise<DeploymentReply> {
    return await steer(this.#host, this.known(app), 'resume', asker);
  }

  /**
   * Takes no more wishes, and lets what is under way come to the end of its atomic step.
   * @param withinMs what has not ended by then is left as it is
   */
  async close(withinMs: number): Promise<void> {
    this.#open = false;
    await Promise.all([...this.#runs.values()].map((run) => run.close(withinMs)));
  }

  /** Nothing is changed before all is in order, nor at the end. @throws ZDD_AGENT_BUSY */
  assertOpen(): void {
    if (this.#open) return;
    throw new ZddError('ZDD_AGENT_BUSY', 'the agent is starting or stopping', {
      tries: ['zdd-agent status', 'zdd-agent push'],
    });
  }

  /** @throws ZDD_APP_UNKNOWN */
  known(app: string): AppRun {
    if (!this.#host.journal.knows(app)) {
      throw new ZddError('ZDD_APP_UNKNOWN', `there is no app ${app} on this host`, {
        tries: ['zdd-agent status'],
      });
    }
    return this.run(app);
  }

  /**
   * Begins a deployment that was checked: nobody else's may run, and none may have come between.
   * @throws ZDD_LOCKED, as a `TargetGone` where nobody else's runs; ZDD_AGENT_BUSY,
   * ZDD_ROLLING_IMPOSSIBLE
   */
  async request(
    app: string,
    target: Target,
    asker: Asker,
    source: string,
    policy: Policy,
    { config, rolled, onNumbered, force = false, although }: Beginning = {},
  ): Promise<DeploymentReply> {
    const { journal } = this.#host;
    this.assertOpen();
    if (!force) assertUnlocked(this.#host, app, although === undefined ? [] : [although]);
    const run = this.run(app);
    if (run.state.deployment !== null || this.#claimed.has(app)) throw this.locked(run.state);
    const fitted = this.#fitted(run.state, target, policy, rolled);
    this.#claimed.add(app);
    // In the same breath as the look at the routes of others: nothing is waited for between.
    if (config !== undefined) this.#wished.set(app, config);
    try {
      const since = journal.lastSeq();
      const id = journal.nextDeployment(app);
      onNumbered?.(id);
      const begun = await run.post({
        type: 'requested',
        id,
        target,
        owner: asker.owner,
        source,
        policy: fitted,
        ...requestOf(asker),
      });
      if (!begun) {
        this.assertOpen();
        throw run.state.deployment === null ? new TargetGone(app) : this.locked(run.state);
      }
      return { app, deployment: id, result: 'started', since };
    } finally {
      this.#claimed.delete(app);
    }
  }

  /** The policy as what serves now wants it: that may be what may not run beside another. */
  #fitted(state: AppState, target: Target, policy: Policy, rolled: Rolled | undefined): Policy {
    const { app, stable } = state;
    const hold = stable === null ? null : holdOf(configOf(this.#host, app, stable));
    // Its word comes first, as in HAProxy.
    if (hold !== null) return { ...policy, holdMs: hold.within };
    const rolling = rolled === undefined ? null : rollingFor(this.#host, state, target, rolled);
    if (rolling === null || policy.holdMs !== undefined) return policy;
    // An instance that leaves is gone as soon as it is empty: nobody can stay on it, nor go back to it.
    const { lingerMs: _, ...rest } = policy;
    return { ...rest, warmMs: 0, strategy: rolling };
  }

  /**
   * From here on nobody begins a deployment of an app.
   * @returns gives it free again
   * @throws ZDD_LOCKED while one runs
   */
  claim(app: string): () => void {
    const { state } = this.run(app);
    if (state.deployment !== null || this.#claimed.has(app)) throw this.locked(state);
    this.#claimed.add(app);
    return () => this.#claimed.delete(app);
  }

  /** @throws ZDD_ROUTE_CONFLICT with what serves, and with what is being deployed */
  refuseConflicts(config: AppConfig): void {
    refuseRouteConflicts(this.#host, config, (app) => {
      const begun = this.#host.journal.state(app).deployment !== null || this.#claimed.has(app);
      return begun ? this.#wished.get(app) : undefined;
    });
  }

  /** Nothing is started for traffic that could not be moved. @throws ZDD_HAPROXY_* */
  async refuseWithoutHaproxy(config: AppConfig): Promise<void> {
    if (config.processes['web'] === undefined) return;
    await this.#host.proxy.info(AbortSignal.timeout(5_000));
  }

  /** The refusal of whoever comes second. */
  locked({ app, deployment }: AppState): ZddError {
    const now = this.#host.now();
    const who =
      deployment === null
        ? `${app} is being deployed, or its contract is run`
        : `${app} is being ${DOING[deployment.kind]} by ${deployment.owner} (#${deployment.id}, ${deployment.phase.name}, ${Math.round((now - deployment.startedAt) / 1_000)}s ago)`;
    return new ZddError('ZDD_LOCKED', who, {
      tries: [
        ...(deployment === null ? [] : [`zdd-agent attach ${deployment.id}`]),
        'zdd-agent push --wait',
      ],
    });
  }
}

const DOING: Readonly<Record<DeploymentKind, string>> = {
  deploy: 'deployed',
  rollback: 'rolled back',
  restart: 'restarted',
  scale: 'scaled',
  start: 'started',
  stop: 'stopped',
};

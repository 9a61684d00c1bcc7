import type { AppEvent, Target } from '../core/events.ts';
import {
  type AppState,
  candidateOf,
  type DeploymentKind,
  type Failure,
  type Generation,
  type Policy,
  standingRelease,
} from '../core/model.ts';
import { isWarm } from '../core/request.ts';
import { trafficMoved } from '../core/way-back.ts';
import type { DeploymentReply } from '../protocol/api.ts';
import type { AppConfig } from '../protocol/app-config.ts';
import { type ErrorCode, ZddError } from '../protocol/errors.ts';
import { holdOf } from '../protocol/hold.ts';
import { routesOf, routeText } from '../protocol/routes.ts';
import { refuseAcrossContract } from './contract-crossed.ts';
import { hasPresentEnvironment } from './environment.ts';
import { configOf, type Host } from './host.ts';
import { assertUnlocked } from './lock.ts';
import { effectiveConfig } from './overrides.ts';
import { AppRun } from './run.ts';
import { hasNumbers } from './scale.ts';
import { strategyOf } from './strategy.ts';

/** A checked wish to deploy an artifact. */
export interface DeployWish {
  readonly artifact: string;
  readonly owner: string;
  readonly source: string;
  readonly bakeMs?: number | undefined;
  readonly probeTimeoutMs?: number | undefined;
  /** Another host of the fleet has run the release command already. */
  readonly releasedElsewhere?: boolean | undefined;
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
  /** Its configuration: while nothing is unpacked, the journal cannot tell its routes. */
  readonly config?: AppConfig;
  /** Although somebody has locked the app. */
  readonly force?: boolean;
  /** What to type to do it all the same. */
  readonly although?: string;
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
    const strategy = strategyOf(config, wish.strategy);
    await this.refuseWithoutHaproxy(config);
    this.#refuseRouteConflicts(config);
    return await this.request(
      config.app,
      { kind: 'artifact', artifact: wish.artifact },
      wish.owner,
      wish.source,
      { ...policyOf(config, wish), strategy },
      { ...wish, config },
    );
  }

  /**
   * Once more what did not succeed last, as if it had been pushed again.
   * @throws ZDD_APP_UNKNOWN, ZDD_NOTHING_TO_RETRY, ZDD_RELEASE_UNKNOWN, ZDD_ROUTE_CONFLICT, ZDD_LOCKED
   */
  async retry(app: string, owner: string): Promise<DeploymentReply> {
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
    await this.refuseWithoutHaproxy(config);
    this.#refuseRouteConflicts(config);
    return await this.request(
      app,
      { kind: 'retry', release, hasReleaseCommand: config.release !== undefined },
      owner,
      `retry of #${last.deployment}`,
      { ...policyOf(config, {}), strategy: strategyOf(config, undefined) },
      { config },
    );
  }

  /**
   * @throws ZDD_APP_UNKNOWN, ZDD_NOTHING_TO_ROLL_BACK, ZDD_RELEASE_UNKNOWN, ZDD_LOCKED,
   * ZDD_CONTRACT_CROSSED
   */
  async rollback(
    app: string,
    wanted: string | undefined,
    owner: string,
    { force = false, acrossContract = false } = {},
  ): Promise<DeploymentReply> {
    const { state } = this.known(app);
    const { deployment } = state;
    // What runs already may always be taken back: a lock keeps things from beginning.
    if (deployment !== null && wanted === undefined) {
      return await this.#tell(app, 'rollback', owner);
    }
    const target = this.#rollbackTarget(state, wanted);
    if (target === null) {
      return { app, deployment: 0, result: 'already_live', since: this.#host.journal.lastSeq() };
    }
    const release = target.kind === 'warm' ? target.generation.release : target.release;
    if (!acrossContract) refuseAcrossContract(this.#host, app, release);
    const config = configOf(this.#host, app, { release, deployment: 0 });
    await this.refuseWithoutHaproxy(config);
    this.#refuseRouteConflicts(config);
    const policy = { ...policyOf(config, {}), bakeMs: 0 };
    return await this.request(app, target, owner, `rollback to ${release}`, policy, {
      config,
      force,
      although: 'zdd-agent rollback --force      although it is locked',
    });
  }

  async abort(app: string, owner: string): Promise<DeploymentReply> {
    this.known(app);
    return await this.#tell(app, 'abort', owner);
  }

  /** @param full past all steps of a canary and the bake */
  async promote(app: string, owner: string, full = false): Promise<DeploymentReply> {
    this.known(app);
    return await this.#tell(app, 'promote', owner, full);
  }

  /** @throws ZDD_NOT_IN_CANARY */
  async pause(app: string, owner: string): Promise<DeploymentReply> {
    this.known(app);
    return await this.#tell(app, 'pause', owner);
  }

  /** @throws ZDD_NOT_IN_CANARY */
  async resume(app: string, owner: string): Promise<DeploymentReply> {
    this.known(app);
    return await this.#tell(app, 'resume', owner);
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
   * @throws ZDD_LOCKED, ZDD_AGENT_BUSY
   */
  async request(
    app: string,
    target: Target,
    owner: string,
    source: string,
    policy: Policy,
    { config, onNumbered, force = false, although }: Beginning = {},
  ): Promise<DeploymentReply> {
    const { journal } = this.#host;
    this.assertOpen();
    if (!force) assertUnlocked(this.#host, app, although === undefined ? [] : [although]);
    const run = this.run(app);
    if (run.state.deployment !== null || this.#claimed.has(app)) throw this.locked(run.state);
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
        owner,
        source,
        policy: this.#holding(run.state, policy),
      });
      if (!begun) throw this.locked(run.state);
      return { app, deployment: id, result: 'started', since };
    } finally {
      this.#claimed.delete(app);
    }
  }

  /** What serves may be what may not run beside another; its word comes first, as in HAProxy. */
  #holding({ app, stable }: AppState, policy: Policy): Policy {
    const hold = stable === null ? null : holdOf(configOf(this.#host, app, stable));
    return hold === null ? policy : { ...policy, holdMs: hold.within };
  }

  /**
   * From here on nobody begins a deployment of an app.
   * @returns gives it free again
   * @throws ZDD_LOCKED while one runs, ZDD_AGENT_BUSY
   */
  claim(app: string): () => void {
    this.assertOpen();
    const { state } = this.run(app);
    if (state.deployment !== null || this.#claimed.has(app)) throw this.locked(state);
    this.#claimed.add(app);
    return () => this.#claimed.delete(app);
  }

  /** Steers the running deployment. Told twice, or too late, it says so and changes nothing. */
  async #tell(app: string, verb: Told, owner: string, full = false): Promise<DeploymentReply> {
    const run = this.run(app);
    const since = this.#host.journal.lastSeq();
    const { deployment } = run.state;
    if (deployment === null) {
      throw new ZddError('ZDD_NOTHING_RUNNING', `no deployment of ${app} is running`, {
        ...(run.state.stable === null ? {} : { traffic: `100 % on ${run.state.stable.release}` }),
        tries: ['zdd-agent status', ...(verb === 'abort' ? ['zdd-agent rollback'] : [])],
      });
    }
    const { id, phase } = deployment;
    if (phase.name === 'returning' || phase.name === 'reverting' || phase.name === 'stopping') {
      return { app, deployment: id, result: `already_${phase.name}`, since };
    }
    if (verb === 'pause' || verb === 'resume') {
      if (phase.name !== 'canary') throw notInCanary(app, id, phase.name);
      if ((phase.paused === null) === (verb === 'resume')) {
        const result = verb === 'pause' ? 'already_paused' : 'already_running';
        return { app, deployment: id, result, since };
      }
    }
    const moved = trafficMoved(phase);
    await run.post({ type: 'told', verb, full, failure: toldBy(verb, owner, moved) });
    return { app, deployment: id, result: RESULTS[verb], since };
  }

  /** The default is the last good release that does not serve; null when it serves already. */
  #rollbackTarget(
    state: AppState,
    wanted: string | undefined,
  ): Extract<Target, { kind: 'release' | 'warm' }> | null {
    const { app, stable } = state;
    const release = wanted === undefined ? this.#lastGood(state) : this.#named(app, wanted);
    if (stable?.release === release) return null;
    const warm = state.retiring
      .map(({ generation }) => generation)
      .findLast((generation) => generation.release === release && isWarm(state, generation));
    const asBefore =
      warm !== undefined &&
      this.#holdsNothing(app, [stable, warm]) &&
      this.#allRun(app, warm) &&
      this.#isOfPresentSize(state, warm) &&
      hasPresentEnvironment(this.#host, app, warm);
    return asBefore ? { kind: 'warm', generation: warm } : { kind: 'release', release };
  }

  #allRun(app: string, generation: Generation): boolean {
    const slots = this.#host.slots.of(app, generation).filter(({ takesTraffic }) => takesTraffic);
    return slots.every(({ spec }) => this.#host.runner.status(spec.slot).state === 'running');
  }

  /** Whether none of them has to be alone: what is warm now would first have to end. */
  #holdsNothing(app: string, generations: ReadonlyArray<Generation | null>): boolean {
    return generations.every(
      (generation) => generation === null || holdOf(configOf(this.#host, app, generation)) === null,
    );
  }

  /** One that was left before the app was scaled would meet the traffic in other numbers. */
  #isOfPresentSize({ app, scale }: AppState, warm: Generation): boolean {
    return hasNumbers(this.#host.slots.of(app, warm), configOf(this.#host, app, warm), scale);
  }

  #lastGood(state: AppState): string {
    const { app, stable, retiring } = state;
    const standing = standingRelease(state);
    const good = this.#host.releases
      .list(app)
      .filter(({ verdict, release }) => verdict === 'good' && release !== standing);
    // The one that served last, not the one with the highest number: that may be what failed. An
    // earlier generation of the present release is no way back.
    const warm = retiring.findLast(
      (retirement) => retirement.good && retirement.generation.release !== standing,
    )?.generation.release;
    const stableNumber = standing === null ? 0 : numberOf(standing);
    const release =
      good.find((record) => record.release === warm)?.release ??
      good.find(({ number }) => number < stableNumber)?.release ??
      good[0]?.release;
    if (release === undefined) {
      throw new ZddError('ZDD_NOTHING_TO_ROLL_BACK', `${app} has no earlier good release`, {
        ...(stable === null ? {} : { traffic: `100 % on ${stable.release}` }),
        tries: [`zdd-agent releases ${app}`],
      });
    }
    return release;
  }

  /** Accepts `r42-ab12cd3` and `r42`. */
  #named(app: string, wanted: string): string {
    const match = this.#host.releases
      .list(app)
      .find(({ release }) => release === wanted || release.split('-')[0] === wanted);
    if (match === undefined) {
      throw new ZddError('ZDD_RELEASE_UNKNOWN', `${app} has no release ${wanted}`, {
        tries: [`zdd-agent releases ${app}`],
      });
    }
    return match.release;
  }

  #refuseRouteConflicts(config: AppConfig): void {
    if (config.processes['web'] === undefined) return;
    const wanted = routesOf(config).map(routeText);
    for (const other of this.#host.journal.apps()) {
      if (other === config.app) continue;
      const taken = this.#routesOf(other);
      const shared = wanted.filter((route) => taken.has(route));
      if (shared.length === 0) continue;
      throw new ZddError(
        'ZDD_ROUTE_CONFLICT',
        `${shared.join(', ')} belong${shared.length === 1 ? 's' : ''} to the app ${other}`,
        {
          evidence: [[`routes of ${other}`, [...taken].join(', ')]],
          tries: [
            'mend routes in zdd.yaml (a longer path or an exact host may be taken), then: zdd-agent push',
          ],
        },
      );
    }
  }

  /**
   * The routes an app has or is about to have: of what serves, which its running deployment may go
   * back to, and of what is being deployed, though it may not be unpacked yet.
   */
  #routesOf(app: string): ReadonlySet<string> {
    const state = this.#host.journal.state(app);
    const { deployment } = state;
    const candidate = deployment === null ? null : candidateOf(deployment.phase);
    // A stopped app keeps its routes.
    const configs = [standingRelease(state), candidate?.release ?? null].flatMap((release) =>
      release === null ? [] : [configOf(this.#host, app, { release, deployment: 0 })],
    );
    const begun = deployment !== null || this.#claimed.has(app);
    const wished = begun ? this.#wished.get(app) : undefined;
    return new Set(
      [...configs, ...(wished === undefined ? [] : [wished])]
        .filter(({ processes }) => processes['web'] !== undefined)
        .flatMap((config) => routesOf(config).map(routeText)),
    );
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

/** The times of a deployment of this release; what the wish says of its own wins. */
export function policyOf(
  config: AppConfig,
  {
    bakeMs,
    probeTimeoutMs,
    releasedElsewhere = false,
  }: Pick<DeployWish, 'bakeMs' | 'probeTimeoutMs' | 'releasedElsewhere'>,
): Policy {
  const hold = holdOf(config);
  return {
    ...(releasedElsewhere && config.release?.per === 'fleet' ? { releasedElsewhere: true } : {}),
    probeWithinMs: probeTimeoutMs ?? config.processes['web']?.health?.within ?? 30_000,
    ...(config.shadow === undefined ? {} : { shadowMs: config.shadow.for }),
    bakeMs: bakeMs ?? config.bake,
    warmMs: config.warm,
    requestsMs: config.drain.requests,
    websocketsMs: config.drain.websockets,
    pacePerSecond: config.drain.pace,
    onSwitch: config.drain.on_switch,
    ...(hold === null ? {} : { holdMs: hold.within }),
    ...(config.sticky?.until === 'drain' ? { lingerMs: config.drain.websockets } : {}),
  };
}

type Told = Extract<AppEvent, { type: 'told' }>['verb'];

const RESULTS: Readonly<Record<Told, string>> = {
  abort: 'aborting',
  rollback: 'rolling_back',
  promote: 'promoting',
  pause: 'pausing',
  resume: 'resuming',
};

function notInCanary(app: string, id: number, phase: string): ZddError {
  return new ZddError('ZDD_NOT_IN_CANARY', `#${id} of ${app} is ${phase}, not in its canary`, {
    tries: [`zdd-agent attach ${id}`, 'zdd-agent abort'],
  });
}

function toldBy(verb: Told, owner: string, moved: boolean): Failure {
  const rolledBack = verb === 'rollback' && moved;
  const code: ErrorCode = rolledBack ? 'ZDD_ROLLED_BACK' : 'ZDD_ABORTED';
  const what = verb === 'pause' ? 'paused' : rolledBack ? 'rolled back' : 'aborted';
  return {
    code,
    message: `${what} by ${owner}`,
    evidence: [],
    tries: ['zdd-agent push'],
  };
}

function numberOf(release: string): number {
  return Number(/^r(\d+)/.exec(release)?.[1] ?? 0);
}

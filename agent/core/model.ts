import type { Paused } from './paused.ts';
import type { Roll } from './roll.ts';
import type { Strategy } from './strategy.ts';

/**
 * The nouns of zdd-agent. Everything in this folder is pure: data in, data out; `now` is an input,
 * in milliseconds since the epoch.
 */

/** `r42-ab12cd3`: the daemon's number for this app and the head of the content digest. */
export type ReleaseId = string;

/**
 * One running of a release: the slots that deployment number `deployment` started for it. The same
 * release started again is another generation with fresh sockets.
 */
export interface Generation {
  readonly release: ReleaseId;
  readonly deployment: number;
}

/** Why a deployment did not succeed. `code` is one of the protocol's error codes. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly evidence: ReadonlyArray<readonly [string, string]>;
  readonly tries: readonly string[];
}

/**
 * What becomes of WebSockets and streams of a release that was replaced. `keep`: they stay until
 * their deadline. `pace`: they are closed at the pace from the promotion on. `close`: the same, ten
 * times as fast.
 */
export type OnSwitch = 'keep' | 'pace' | 'close';

/** The times a deployment works with, ms. */
export interface Policy {
  /** How long a new instance has to become healthy. */
  readonly probeWithinMs: number;
  /** How long live requests are copied to a candidate before it has traffic; absent: not at all. */
  readonly shadowMs?: number;
  readonly bakeMs: number;
  /** How long after the switch the replaced release stays ready for an instant rollback. */
  readonly warmMs: number;
  /** How long after the switch requests in flight may still run on the replaced release. */
  readonly requestsMs: number;
  /** How long after the switch WebSockets and streams may stay on the replaced release. */
  readonly websocketsMs: number;
  /** Connections closed a second after that. */
  readonly pacePerSecond: number;
  /** The release command was run by another host, and is for all of them. */
  readonly releasedElsewhere?: true;
  /** Whether WebSockets and streams stay for `websocketsMs` at all. */
  readonly onSwitch: OnSwitch;
  /**
   * How long new requests may wait while the old release stops and the new one starts: the two may
   * not run side by side. Absent: they may.
   */
  readonly holdMs?: number;
  /** How long its present users may stay on the replaced release. Absent: they move at once. */
  readonly lingerMs?: number;
  /** Absent in what an agent before 0.2 has journaled: all at once. */
  readonly strategy?: Strategy;
}

/** Numbers of instances by process type, where they differ from what `zdd.yaml` says. */
export type Scale = Readonly<Record<string, number>>;

/** The process types that a restart is for, where it is not for all of them. */
export interface Part {
  readonly processes: readonly string[];
  /**
   * Requests reach one of them: a fresh generation takes over, to which the other process types are
   * handed as they run. Where none does, stable stays and only its workers change.
   */
  readonly takesTraffic: boolean;
}

/** How a deployment can end. */
export type Outcome = 'succeeded' | 'failed' | 'aborted' | 'rolled_back';

/** Where a deployment is. Each phase is one verb of `pipeline/`. */
export type Phase =
  | { readonly name: 'unpacking' }
  | { readonly name: 'releasing'; readonly candidate: Generation }
  /** Of releases that may not run side by side, as is the next: nothing older than stable runs. */
  | { readonly name: 'clearing'; readonly candidate: Generation }
  /** New requests wait. What has begun on stable ends, then its web instances stop. */
  | { readonly name: 'holding'; readonly candidate: Generation }
  | { readonly name: 'starting'; readonly candidate: Generation }
  | { readonly name: 'probing'; readonly candidate: Generation }
  | { readonly name: 'smoking'; readonly candidate: Generation }
  /** HAProxy gets to know the candidate, at weight 0, and checks it itself. */
  | { readonly name: 'admitting'; readonly candidate: Generation }
  /** It answers copies of live requests, for nobody. */
  | { readonly name: 'shadowing'; readonly candidate: Generation }
  /** A share of the users is on the candidate, the others on stable. */
  | {
      readonly name: 'canary';
      readonly candidate: Generation;
      /** Which of the strategy's steps, from 0. */
      readonly step: number;
      /** Share of the users, 0 to 100. */
      readonly percent: number;
      /** When this step began. */
      readonly since: number;
      /** When the present share began: what was seen before counts no more. */
      readonly weighedAt: number;
      readonly paused: Paused | null;
    }
  /** A few instances at a time: `Deployment.roll` says how far. */
  | { readonly name: 'rolling'; readonly candidate: Generation }
  | { readonly name: 'switching'; readonly candidate: Generation }
  | {
      readonly name: 'baking';
      readonly candidate: Generation;
      readonly switchedAt: number;
      readonly until: number;
    }
  /** Background workers change hands; after this the candidate is stable. */
  | { readonly name: 'promoting'; readonly candidate: Generation; readonly switchedAt: number }
  /** Some of the workers of stable give way to fresh ones, traffic stays where it is. */
  | { readonly name: 'renewing'; readonly generation: Generation }
  /** Of a stop, as are the two after it: HAProxy sends nothing new. */
  | { readonly name: 'closing'; readonly leaving: Generation }
  /** What has begun comes to its end. `since` is when new requests ended. */
  | { readonly name: 'draining'; readonly leaving: Generation; readonly since: number }
  | { readonly name: 'stopping'; readonly leaving: Generation }
  /**
   * New requests wait again until the candidate has stopped and stable has started; of a rolling
   * deployment, the instances of stable come back a few at a time.
   */
  | ({ readonly name: 'returning'; readonly candidate: Generation } & WayBack)
  /** Traffic and workers go back to the previous release. */
  | ({
      readonly name: 'reverting';
      /** Null when it was a stop, or workers of stable were renewed: no generation has to leave. */
      readonly candidate: Generation | null;
    } & WayBack);

/** What is known of a deployment that is on its way back. */
export interface WayBack {
  readonly outcome: Exclude<Outcome, 'succeeded'>;
  readonly failure: Failure;
  readonly attempt: number;
  /** The candidate had all traffic, and with it HAProxy its settings. */
  readonly baked?: boolean;
}

export type PhaseName = Phase['name'];

/**
 * What a deployment is for. `restart`, `scale` and `start` bring up a fresh generation of a release
 * that is known already; `stop` brings up none.
 */
export type DeploymentKind = 'deploy' | 'rollback' | 'restart' | 'scale' | 'start' | 'stop';

/**
 * One attempt to make a release live, or to let an app serve no more. While it stands in the state
 * of an app, it holds its lock.
 */
export interface Deployment {
  readonly id: number;
  readonly kind: DeploymentKind;
  /** sha256 of the artifact; null for all but deploys. */
  readonly artifact: string | null;
  readonly owner: string;
  readonly source: string;
  readonly startedAt: number;
  readonly policy: Policy;
  /** What its candidate is started with; the app's own from its success on. */
  readonly scale: Scale;
  readonly phase: Phase;
  /** Of a restart of some process types. */
  readonly part?: Part;
  /** Since when new requests waited, where old and new may not run side by side. */
  readonly heldSince?: number;
  /** How far it has come, of one that goes instance by instance; to the end of its bake and its way back. */
  readonly roll?: Roll;
}

/** How a deployment ended, for its receipt. */
export interface Ended {
  readonly deployment: Deployment;
  readonly outcome: Outcome;
  readonly failure: Failure | null;
}

/** A generation on its way out. It is warm until its `draining` ends: a rollback can revive it. */
export interface Retirement {
  readonly generation: Generation;
  readonly phase: 'draining' | 'stopping';
  /** HAProxy knows it. One that failed before it was admitted is stopped without asking. */
  readonly admitted: boolean;
  /** Not stopped before, even without connections. */
  readonly warmUntil: number;
  /** From here requests that are older than `requestsMs` are closed, at the pace. */
  readonly requestsUntil: number;
  /** How long a request may take, ms. Absent in what an agent before 0.2 has journaled. */
  readonly requestsMs?: number;
  /** From here WebSockets and streams are closed, `pacePerSecond` of them a second. */
  readonly closeFrom: number;
  readonly pacePerSecond: number;
  /** Until then its users stay on it. Absent: they have moved. */
  readonly lingersUntil?: number;
  /** They have just been told to move: HAProxy has to hear of it before the last one can be seen off. */
  readonly lingered?: boolean;
  /** Whether it ever served as stable: a rejected candidate is no target for a rollback. */
  readonly good: boolean;
}

/** A generation that has served and shall go now: nothing keeps it warm, no WebSocket may stay. */
export function atOnce(generation: Generation, policy: Policy, now: number): Retirement {
  return {
    generation,
    phase: 'draining',
    admitted: true,
    warmUntil: now,
    requestsUntil: now + policy.requestsMs,
    requestsMs: policy.requestsMs,
    closeFrom: now,
    pacePerSecond: policy.pacePerSecond,
    good: true,
  };
}

/** An app that somebody has stopped. */
export interface Stopped {
  /** What served last, and what a start brings back. */
  readonly release: ReleaseId;
  /** The deployment of kind `stop` that ended it: there is no other way to come here. */
  readonly deployment: number;
  readonly owner: string;
  readonly at: number;
}

/**
 * Who serves. Stable is untouchable: once set it gives way to another generation or, at the end of
 * an explicit stop, to a `Stopped`; nothing else takes it away, and no app is both.
 */
export type Service =
  | { readonly stable: Generation | null; readonly stopped: null }
  | { readonly stable: null; readonly stopped: Stopped };

/** All that decides about one app. What the journal stores, and what `step` moves on. */
export type AppState = Service & {
  readonly app: string;
  readonly deployment: Deployment | null;
  readonly retiring: readonly Retirement[];
  /** Grows when something has left: HAProxy has to forget its servers, old releases may go. */
  readonly departures: number;
  /** The count of departures up to which all was tidied. */
  readonly tidied: number;
  /** Holds across deploys and restarts, until it is told otherwise. */
  readonly scale: Scale;
};

export function newApp(app: string): AppState {
  return {
    app,
    stable: null,
    stopped: null,
    deployment: null,
    retiring: [],
    departures: 0,
    tidied: 0,
    scale: {},
  };
}

/** A stored state made whole: one that an earlier agent wrote lacks what has come since. */
export function completeState(stored: AppState): AppState {
  const { deployment } = stored;
  return over(newApp(stored.app), {
    ...stored,
    deployment: deployment === null ? null : over({ scale: {} }, deployment),
  });
}

function over<T extends object>(defaults: Partial<T>, stored: T): T {
  return { ...defaults, ...stored };
}

export function sameGeneration(a: Generation | null, b: Generation | null): boolean {
  return a !== null && b !== null && a.release === b.release && a.deployment === b.deployment;
}

/**
 * Whether HAProxy knows the candidate: from `admitting` on, and from the start when a rollback has
 * taken up a generation that was still warm.
 */
export function isAdmitted({ id, phase }: Deployment): boolean {
  switch (phase.name) {
    case 'unpacking':
      return false;
    case 'releasing':
    case 'clearing':
    case 'holding':
    case 'starting':
    case 'probing':
    case 'smoking':
      return phase.candidate.deployment !== id;
    default:
      return true;
  }
}

/** Whether old and new may not run side by side. */
export function isExclusive({ policy, phase }: Deployment): boolean {
  return policy.holdMs !== undefined && candidateOf(phase) !== null;
}

/** Why a deployment stays where it is; null when it goes on. */
export function pausedOf({ phase, roll }: Deployment): Paused | null {
  if (phase.name === 'canary') return phase.paused;
  return phase.name === 'rolling' ? (roll?.paused ?? null) : null;
}

/** What was replaced before shall go now, and not stay warm: something waits for its end. */
export function hasten(
  retiring: readonly Retirement[],
  policy: Policy,
  now: number,
): readonly Retirement[] {
  return retiring.map((retirement) => {
    const soon = atOnce(retirement.generation, policy, now);
    return {
      ...retirement,
      warmUntil: Math.min(retirement.warmUntil, soon.warmUntil),
      closeFrom: Math.min(retirement.closeFrom, soon.closeFrom),
      ...(retirement.lingersUntil === undefined ? {} : { lingersUntil: now }),
    };
  });
}

/** The candidate of a phase; null while the artifact is not unpacked yet, and in a stop. */
export function candidateOf(phase: Phase): Generation | null {
  return 'candidate' in phase ? phase.candidate : null;
}

/** The release that an app stands for: the one that serves, or that would if it were started. */
export function standingRelease({ stable, stopped }: AppState): ReleaseId | null {
  return stable?.release ?? stopped?.release ?? null;
}

/** Every generation that runs, or is about to. */
export function generationsOf({ stable, deployment, retiring }: AppState): Generation[] {
  const candidate = deployment === null ? null : candidateOf(deployment.phase);
  return [stable, candidate, ...retiring.map(({ generation }) => generation)].filter(
    (generation) => generation !== null,
  );
}

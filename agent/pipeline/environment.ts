import type { Generation } from '../core/model.ts';
import type { AppConfig } from '../protocol/app-config.ts';
import {
  type EnvironmentChange,
  type EnvironmentChanged,
  type EnvironmentReply,
  environmentChange,
  isVariableName,
  problemsWith,
} from '../protocol/environment.ts';
import { ZddError } from '../protocol/errors.ts';
import { notifyVariables } from '../protocol/notify.ts';
import type { ProcessType } from '../protocol/process-type.ts';
import { configOf, type Host } from './host.ts';

/** As `app:` in zdd.yaml: the app need not be there yet. */
const APP = /^[a-z][a-z0-9-]{0,30}$/;

/**
 * The variables of whatever is started for an app from now on: those of its `zdd.yaml`, over them
 * those the host keeps, over them what the agent itself has to say. What is for the agent alone, as the
 * addresses of `notify`, no process is given.
 * @param type the process type, or the job; none for the release command
 */
export function environmentOf(
  host: Host,
  app: string,
  { release, deployment }: Generation,
  config: AppConfig,
  type?: Pick<ProcessType, 'env'>,
): Record<string, string> {
  const forTheAgent = notifyVariables(config.notify);
  const kept = Object.entries(host.environments.values(app));
  return {
    ...config.env,
    ...type?.env,
    ...Object.fromEntries(kept.filter(([name]) => !forTheAgent.has(name))),
    ZDD_APP: app,
    ZDD_RELEASE: release,
    ZDD_DEPLOYMENT: String(deployment),
  };
}

/**
 * Whether every instance of a generation was started with the values of now: an instant rollback
 * must not bring back a password that was changed.
 */
export function hasPresentEnvironment(host: Host, app: string, generation: Generation): boolean {
  const config = configOf(host, app, generation);
  return host.slots.of(app, generation).every(({ process, spec }) => {
    const wanted = environmentOf(host, app, generation, config, config.processes[process]);
    return differences(spec.env, wanted).length === 0;
  });
}

/** @throws ZDD_APP_UNKNOWN for an app that is neither on the host nor expected there */
export function listEnvironment(host: Host, app: string, withValues: boolean): EnvironmentReply {
  const kept = host.environments.list(app);
  if (kept.length === 0 && !host.journal.knows(app)) {
    throw new ZddError('ZDD_APP_UNKNOWN', `there is no app ${app} on this host`, {
      tries: ['zdd-agent status', `zdd-agent env set NAME --app ${app}`],
    });
  }
  const live = liveOf(host, app);
  const names = new Set(kept.map(({ name }) => name));
  return {
    schemaVersion: 1,
    app,
    live: live?.generation.release ?? null,
    variables: kept.map(({ name, value, changedAt, changedBy }) => ({
      name,
      bytes: Buffer.byteLength(value),
      changedAt,
      changedBy,
      inForce:
        live === null
          ? null
          : notifyVariables(live.config.notify).has(name) ||
            live.environments.every((env) => env[name] === value),
      overrides: live !== null && inZddYaml(live.config, name),
      ...(withValues ? { value } : {}),
    })),
    leaving: pendingNames(host, app, live).filter((name) => !names.has(name)),
  };
}

/**
 * Keeps new values and forgets others, all at once. What runs is left alone: it gets them with its
 * next start.
 * @throws ZDD_ENV_INVALID with every problem; nothing has changed then
 */
export function changeEnvironment(
  host: Host,
  app: string,
  asked: EnvironmentChange,
): EnvironmentChanged {
  const { owner, set, unset } = environmentChange.parse(asked);
  refuse([
    ...(APP.test(app) ? [] : [['app', 'not a name of an app'] as const]),
    ...unset.filter((name) => name in set).map((name) => [name, 'both set and unset'] as const),
    ...unset
      .filter((name) => !isVariableName(name))
      .map(() => ['unset', 'not a name of a variable'] as const),
    ...problemsWith(set),
  ]);
  const changed = host.environments.change(
    app,
    { set, unset },
    { at: host.now(), by: owner },
    (values) => refuse(problemsWith(values)),
  );
  if (changed.set.length + changed.unset.length > 0) {
    host.journal.tell({
      type: 'environment_changed',
      app,
      deployment: null,
      owner,
      set: [...changed.set],
      unset: [...changed.unset],
    });
  }
  const live = liveOf(host, app);
  return {
    app,
    set: [...changed.set],
    unchanged: [...changed.unchanged],
    unset: [...changed.unset],
    live: live?.generation.release ?? null,
    pending: pendingNames(host, app, live).length > 0,
  };
}

interface Live {
  readonly generation: Generation;
  readonly config: AppConfig;
  readonly environments: readonly Readonly<Record<string, string>>[];
  readonly processes: readonly string[];
}

function liveOf(host: Host, app: string): Live | null {
  const stable = host.journal.knows(app) ? host.journal.state(app).stable : null;
  if (stable === null) return null;
  const slots = host.slots.of(app, stable);
  return {
    generation: stable,
    config: configOf(host, app, stable),
    environments: slots.map(({ spec }) => spec.env),
    processes: slots.map(({ process }) => process),
  };
}

/** Names whose value in the running instances is not the one that a start would give them now. */
function pendingNames(host: Host, app: string, live: Live | null): string[] {
  if (live === null) return [];
  const { generation, config, environments, processes } = live;
  const found = environments.flatMap((env, index) => {
    const type = config.processes[processes[index] ?? ''];
    return differences(env, environmentOf(host, app, generation, config, type));
  });
  return [...new Set(found)].toSorted();
}

function differences(
  present: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): string[] {
  return [...new Set([...Object.keys(present), ...Object.keys(wanted)])].filter(
    (name) => !name.startsWith('ZDD_') && present[name] !== wanted[name],
  );
}

function inZddYaml(config: AppConfig, name: string): boolean {
  return [config.env, ...Object.values(config.processes).map(({ env }) => env)].some(
    (env) => name in env,
  );
}

function refuse(problems: ReadonlyArray<readonly [string, string]>): void {
  if (problems.length === 0) return;
  throw new ZddError('ZDD_ENV_INVALID', 'these variables cannot be kept; nothing was changed', {
    evidence: problems,
    traffic: 'untouched',
    tries: ['zdd-agent env --help'],
  });
}

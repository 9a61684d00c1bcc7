import { randomInt } from 'node:crypto';
import { basename } from 'node:path';
import type { z } from 'zod';
import { type Generation, standingRelease } from '../../core/model.ts';
import type { AppConfig } from '../../protocol/app-config.ts';
import { ZddError } from '../../protocol/errors.ts';
import type { execOpen } from '../../protocol/exec.ts';
import type { Command, ExecSpec } from '../../runner/runner.ts';
import { environmentOf } from '../environment.ts';
import { configOf, type Host } from '../host.ts';

/** A bash that is there, else any shell; both read the profile of the app's home. */
const LOGIN_SHELL = [
  '/bin/sh',
  '-c',
  'if [ -x /bin/bash ]; then exec /bin/bash -l; else exec /bin/sh -l; fi',
];

/** What is to be run, and what may be told of it. */
export interface ExecPlan {
  readonly spec: ExecSpec;
  readonly release: string;
  readonly process: string;
  /** The name of the program, without arguments: they may be secrets. */
  readonly shown: string;
}

/**
 * What a wish for a command in a release comes to. Nothing has been begun.
 * @throws ZDD_APP_UNKNOWN, ZDD_RELEASE_UNKNOWN, ZDD_USAGE
 */
export function planExec(host: Host, app: string, wish: z.output<typeof execOpen>): ExecPlan {
  if (!host.journal.knows(app)) {
    throw new ZddError('ZDD_APP_UNKNOWN', `there is no app ${app} on this host`, {
      tries: ['zdd-agent status', 'zdd-agent push'],
    });
  }
  if (wish.command?.some((word) => word.includes('\0')) === true) {
    throw new ZddError('ZDD_USAGE', 'a word of a command cannot hold a NUL byte');
  }
  const generation = generationFor(host, app, wish.release);
  const { release, deployment } = generation;
  const config = configOf(host, app, generation);
  const process = processFor(config, wish.process);
  const type = config.processes[process];
  const command: Command = wish.command ?? config.console ?? LOGIN_SHELL;
  const number = release.split('-')[0] ?? release;
  return {
    spec: {
      name: `${app}.${number}-d${deployment}-exec-${randomInt(1e9, 1e10)}`,
      app,
      command,
      cwd: host.layout.release(app, release),
      env: environmentOf(host, app, generation, config, type),
      limits: type?.limits,
      tty: wish.tty,
    },
    release,
    process,
    shown: wish.command === null ? 'console' : programOf(command),
  };
}

function generationFor(host: Host, app: string, wanted: string | undefined): Generation {
  const state = host.journal.state(app);
  const { stable, retiring } = state;
  if (wanted === undefined) {
    const standing = standingRelease(state);
    if (stable !== null) return stable;
    // Stopped by somebody: its release is there all the same.
    if (standing !== null) return { release: standing, deployment: 0 };
    throw new ZddError('ZDD_RELEASE_UNKNOWN', `${app} has no live release to run it in`, {
      tries: ['zdd-agent push', `zdd-agent releases --app ${app}`],
    });
  }
  const release = host.releases
    .list(app)
    .find(
      (record) => record.release === wanted || record.release.split('-')[0] === wanted,
    )?.release;
  if (release === undefined) {
    throw new ZddError('ZDD_RELEASE_UNKNOWN', `${app} has no release ${wanted}`, {
      tries: [`zdd-agent releases --app ${app}`],
    });
  }
  const running = [stable, ...retiring.map(({ generation }) => generation)];
  return running.find((each) => each?.release === release) ?? { release, deployment: 0 };
}

function processFor({ processes }: AppConfig, wanted: string | undefined): string {
  const names = Object.keys(processes);
  if (wanted === undefined) return 'web' in processes ? 'web' : (names[0] ?? 'web');
  if (names.includes(wanted)) return wanted;
  throw new ZddError('ZDD_USAGE', `there is no process type ${wanted} in this release`, {
    evidence: [['process types', names.join(', ')]],
    tries: [`zdd-agent exec --process ${names[0] ?? 'web'} -- COMMAND`],
  });
}

function programOf(command: Command): string {
  const [program = ''] = typeof command === 'string' ? [command] : command;
  return basename(program).slice(0, 100);
}

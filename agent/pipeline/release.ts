import type { AppState, Generation } from '../core/model.ts';
import { formatDuration } from '../protocol/duration.ts';
import { ZddError } from '../protocol/errors.ts';
import { environmentOf } from './environment.ts';
import { configOf, type Host, type Task } from './host.ts';

/** The name under which the release command of a deployment runs; unique for ever on this host. */
function releaseCommandName(app: string, { release, deployment }: Generation): string {
  return `${app}.${release.split('-')[0]}-d${deployment}-release`;
}

/** The release command that belongs to a state; null when none does. */
export function releaseCommandOf({ app, deployment }: AppState): string | null {
  const phase = deployment?.phase;
  return phase?.name === 'releasing' ? releaseCommandName(app, phase.candidate) : null;
}

/** Runs the release command (migrations: expand) once, before any instance starts. */
export async function release(host: Host, task: Task, candidate: Generation): Promise<string> {
  const { app, signal } = task;
  const config = configOf(host, app, candidate);
  if (config.release === undefined) return 'none';
  const { run, timeout } = config.release;
  const shown = typeof run === 'string' ? run : run.join(' ');
  const result = await host.runner.runOnce(
    {
      name: releaseCommandName(app, candidate),
      app,
      release: candidate.release,
      command: run,
      cwd: host.layout.release(app, candidate.release),
      env: environmentOf(host, app, candidate, config),
      timeoutMs: timeout,
    },
    signal,
  );
  signal.throwIfAborted();
  if (result.exit.code === 0 && !result.timedOut) return shown;
  const how = result.timedOut
    ? `ran longer than ${formatDuration(timeout)}`
    : result.exit.code === null
      ? `was ended by ${result.exit.signal ?? 'a signal'}`
      : `exited with ${result.exit.code}`;
  throw new ZddError('ZDD_RELEASE_COMMAND_FAILED', `the release command ${how}`, {
    evidence: [
      ['command', shown],
      ['last output', result.output.slice(-20).join('\n')],
    ],
    tries: ['zdd-agent push        once it is mended; the command will run again'],
  });
}

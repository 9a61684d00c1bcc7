import { ZddError } from '../../protocol/errors.ts';
import type { InstanceSpec } from '../runner.ts';
import type { Life } from './life.ts';
import type { SlotOutput } from './output/slot-output.ts';
import { isPastExec } from './proc.ts';
import { waitFor } from './wait.ts';

/** How long a start waits for the shell to become the app, ms; a slow `$(...)` may take longer. */
const EXEC_TIMEOUT_MS = 5_000;
const EXEC_POLL_MS = 2;

/**
 * Waits until the shell has become the app: the kernel shows other arguments then. So a command
 * that does not exist is known at once, and a healthy app is waited for no longer than its exec.
 * @param life what the holder has noted; undefined when the slot was stopped in the meantime
 * @throws ZDD_START_COMMAND_NOT_FOUND, ZDD_START_FAILED; the reason of `signal`
 */
export async function untilExec(
  spec: InstanceSpec,
  life: () => Life | undefined,
  script: string,
  output: SlotOutput,
  signal: AbortSignal,
): Promise<void> {
  const outcome = await waitFor(() => outcomeOf(life(), script), {
    timeoutMs: EXEC_TIMEOUT_MS,
    everyMs: EXEC_POLL_MS,
    signal,
  });
  if (outcome === 'stopped') {
    throw new ZddError('ZDD_START_FAILED', `${spec.slot} was stopped while it started`);
  }
  if (outcome !== 'not found') return;
  const { slot, command, cwd } = spec;
  throw new ZddError('ZDD_START_COMMAND_NOT_FOUND', `the command of ${slot} does not exist`, {
    evidence: [
      ['command', typeof command === 'string' ? `exec ${command}` : command.join(' ')],
      ['folder', cwd],
      [
        'said',
        output
          .last(3)
          .map(({ text }) => text)
          .join('\n'),
      ],
    ],
    tries: ['correct `run` in zdd.yaml; for more than one command, put them into a script'],
  });
}

function outcomeOf(
  life: Life | undefined,
  script: string,
): 'app' | 'not found' | 'stopped' | undefined {
  if (life === undefined) return 'stopped';
  const end = life.ends[0];
  if (end !== undefined) {
    // What a shell and env(1) exit with when exec failed (POSIX, Shell Command Language 2.8.2).
    return end.exit.code === 126 || end.exit.code === 127 ? 'not found' : 'app';
  }
  return life.app !== null && isPastExec(life.app.pid, script) ? 'app' : undefined;
}

import { ZddError } from '../../protocol/errors.ts';
import type { Command, Exit, InstanceSpec } from '../runner.ts';
import { slotLines, unitWords } from './journal.ts';
import { serviceOf, slotName } from './unit-names.ts';
import type { UnitState } from './unit-state.ts';

const SHOWN_LINES = 10;
/** What a shell and env(1) exit with when exec failed (POSIX, Shell Command Language 2.8.2). */
const NOT_FOUND: readonly (number | null)[] = [126, 127];
/** systemd.exec(5): exec itself failed, of what the unit names. */
const EXEC_FAILED = 203;

/** Whether the command of an instance is what could not be run. */
export function isCommandMissing({ code }: Exit): boolean {
  return NOT_FOUND.includes(code) || code === EXEC_FAILED;
}

export async function commandMissing(spec: InstanceSpec, signal: AbortSignal): Promise<ZddError> {
  const { app, name } = slotName(spec.slot);
  const lines = await slotLines(app, name, 3, signal);
  return new ZddError('ZDD_START_COMMAND_NOT_FOUND', `the command of ${spec.slot} does not exist`, {
    evidence: [
      ['command', commandText(spec.command)],
      ['folder', spec.cwd],
      ['said', lines.map(({ text }) => text).join('\n')],
    ],
    tries: ['correct `run` in zdd.yaml; for more than one command, put them into a script'],
  });
}

/** An instance that systemd could not start, in systemd's own words. */
export async function startFailed(
  slot: string,
  said: string,
  state: UnitState,
  signal: AbortSignal,
): Promise<ZddError> {
  const unit = serviceOf(slot);
  return new ZddError('ZDD_START_FAILED', `systemd could not start ${slot}: ${resultText(state)}`, {
    evidence: [
      ...(said === '' ? [] : ([['systemctl', said]] as const)),
      ['last words', (await unitWords(unit, SHOWN_LINES, signal)).join('\n')],
    ],
    tries: [`systemctl status ${unit}`, 'zdd-agent doctor'],
  });
}

/** The root step of an app that did not go well. */
export async function provisionFailed(
  app: string,
  unit: string,
  said: string,
  signal: AbortSignal,
): Promise<ZddError> {
  return new ZddError('ZDD_START_FAILED', `the host could not be made ready for ${app}`, {
    evidence: [
      ...(said === '' ? [] : ([['systemctl', said]] as const)),
      ['last words', (await unitWords(unit, SHOWN_LINES, signal)).join('\n')],
    ],
    tries: [`systemctl start ${unit}`, `journalctl -u ${unit}`, 'zdd-agent doctor'],
  });
}

/** An instance that is there after SIGKILL and all. */
export function doesNotEnd(slot: string, unit: string): ZddError {
  return new ZddError('ZDD_NEEDS_HUMAN', `${slot} does not end, not even by SIGKILL`, {
    evidence: [['unit', unit]],
    tries: [`systemctl status ${unit}`, `systemd-cgls --unit ${unit}`],
  });
}

function commandText(command: Command): string {
  return typeof command === 'string' ? `exec ${command}` : command.join(' ');
}

function resultText({ result, exit, sub }: UnitState): string {
  const why = result === 'success' ? `it is ${sub}` : result;
  if (exit === null) return why;
  return `${why}, ${exit.code === null ? exit.signal : `exit code ${exit.code}`}`;
}

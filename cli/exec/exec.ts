import type { ExecOpen } from '../../agent/protocol/exec.ts';
import type { Context } from '../context.ts';
import type { Input } from '../input.ts';
import { ownerOf } from '../push/source/origin.ts';
import { findTarget } from '../target.ts';
import { talk } from './session.ts';
import { takeTerminal } from './terminal.ts';

/** @param command null: what `zdd.yaml` has for a console. @returns the exit code of the command */
export async function runCommand(
  input: Input,
  context: Context,
  command: string[] | null,
): Promise<number> {
  const { signal } = context.interrupts;
  const agent = await context.agent();
  const { app } = await findTarget(context, agent);
  const release = input.text('release');
  const type = input.text('process');
  const stream = await agent.exec(app, signal);
  const terminal = wantsTerminal(input) ? takeTerminal() : null;
  const open: ExecOpen = {
    owner: ownerOf(),
    command,
    ...(release === undefined ? {} : { release }),
    ...(type === undefined ? {} : { process: type }),
    tty: terminal && { size: terminal.size(), term: termOf() },
  };
  try {
    return await talk({ stream, open, terminal, where: agent.where, context });
  } finally {
    terminal?.restore();
    stream.destroy();
    // Whoever still types there types for nobody.
    process.stdin.destroy();
  }
}

function wantsTerminal(input: Input): boolean {
  // `--no-tty` is what commander keeps as `tty: false`.
  const chosen = input.choice('tty');
  return chosen ?? (process.stdin.isTTY === true && process.stdout.isTTY === true);
}

function termOf(): string {
  const term = process.env['TERM'] ?? '';
  return /^[\w.+-]{1,64}$/.test(term) ? term : 'xterm';
}

import type { Command } from '../command.ts';
import type { Context } from '../context.ts';
import { GLOBAL_OPTIONS } from '../program.ts';
import { UsageError } from '../usage-error.ts';
import { bashScript } from './bash.ts';
import { fishScript } from './fish.ts';
import { wordsOf } from './words.ts';
import { zshScript } from './zsh.ts';

/** @throws UsageError for a shell that is not known. @returns the exit code */
export async function printScript(
  context: Context,
  shell: string,
  commands: readonly Command[],
): Promise<number> {
  const script = scriptFor(shell, wordsOf(commands, GLOBAL_OPTIONS));
  context.screen.value({ schemaVersion: 1, shell, script });
  context.screen.data(script.trimEnd());
  return 0;
}

function scriptFor(shell: string, words: ReturnType<typeof wordsOf>): string {
  switch (shell) {
    case 'bash':
      return bashScript(words);
    case 'zsh':
      return zshScript(words);
    case 'fish':
      return fishScript(words);
    default:
      throw new UsageError(`expected bash, zsh or fish, got "${shell}"`, [
        'zdd-agent completion bash',
      ]);
  }
}

import type { Context } from '../context.ts';
import { UsageError } from '../usage-error.ts';
import { bashScript } from './bash.ts';
import { fishScript } from './fish.ts';
import { wordsOf } from './words.ts';
import { zshScript } from './zsh.ts';

/** @throws UsageError for a shell that is not known. @returns the exit code */
export async function printScript(context: Context, shell: string): Promise<number> {
  // Late, because the registry knows the verb that leads here.
  const [{ COMMANDS }, { GLOBAL_OPTIONS }] = await Promise.all([
    import('../registry.ts'),
    import('../program.ts'),
  ]);
  const script = scriptFor(shell, wordsOf(COMMANDS, GLOBAL_OPTIONS));
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

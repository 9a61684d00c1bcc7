import type { Context } from '../context.ts';

/**
 * Runs something that prints until it ends, the user interrupts, or whoever read the output has
 * gone (`| head`), which is no error. @returns the exit code
 */
export async function untilReaderLeaves(
  context: Context,
  print: (signal: AbortSignal) => Promise<void>,
): Promise<number> {
  const { closed } = context.screen;
  try {
    await print(AbortSignal.any([context.interrupts.signal, closed]));
  } catch (cause) {
    if (!closed.aborted) throw cause;
  }
  return 0;
}

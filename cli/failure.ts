import { EXIT_INTERRUPTED, Interrupted } from './interrupt.ts';
import type { Screen } from './render/screen.ts';
import { UsageError } from './usage-error.ts';

/** The one place where what was thrown becomes output and an exit code. */
export async function showFailure(screen: Screen, cause: unknown): Promise<number> {
  if (cause instanceof Interrupted) {
    if (cause.said.length > 0) screen.alarm(cause.said.join('\n'));
    if (cause.detached) screen.value({ detached: cause.detached });
    return EXIT_INTERRUPTED;
  }
  const [{ ZddError, toErrorBody }, { showError }] = await Promise.all([
    import('../agent/protocol/errors.ts'),
    import('./render/error.ts'),
  ]);
  const known =
    cause instanceof UsageError
      ? new ZddError('ZDD_USAGE', cause.message, { tries: cause.tries })
      : cause;
  const body = toErrorBody(known);
  if (!(known instanceof ZddError)) body.tries.push('ZDD_DEBUG=1 zdd-agent ... shows where');
  showError(screen, body, { onStdout: true });
  if (process.env['ZDD_DEBUG'] === '1' && cause instanceof Error) screen.alarm(stackOf(cause));
  return known instanceof ZddError ? known.exit : 1;
}

function stackOf(error: Error): string {
  const inner = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : '';
  return (error.stack ?? error.message) + inner;
}

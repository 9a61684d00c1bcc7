import { ERRORS, type ErrorBody, EXIT } from '../../agent/protocol/errors.ts';
import type { Receipt } from '../../agent/protocol/events.ts';
import type { Context } from '../context.ts';
import { showError } from '../render/error.ts';
import { endedLines, exitOfOutcome, failureOf, successLines } from '../render/outcome.ts';
import { onCommand } from '../render/tries.ts';
import type { Watched } from './watch.ts';

/** What the one who watched had asked for: a new release live, or this deployment ended. */
export type Wanted = 'live' | 'ended';

/** The last lines and the exit code of a deployment that was watched to its end. */
export async function conclude(
  context: Context,
  watched: Watched,
  receipt: Receipt,
  wanted: Wanted,
): Promise<number> {
  const { screen } = context;
  if (receipt.outcome === 'succeeded') {
    // For the routes and how long the old release stays warm; the deployment is over without it.
    const app = await watched.agent
      .app(receipt.app, AbortSignal.timeout(LOOK_MS))
      .catch(() => null);
    screen.note('');
    screen.data(successLines(screen, receipt, app, watched.command).join('\n'));
    return EXIT.ok;
  }
  const asked = receipt.outcome === 'aborted' || receipt.outcome === 'rolled_back';
  const byCommand =
    receipt.error === null ||
    receipt.error.code === 'ZDD_ABORTED' ||
    receipt.error.code === 'ZDD_ROLLED_BACK';
  if (wanted === 'ended' && asked && byCommand) {
    screen.note('');
    screen.data(endedLines(screen, receipt).join('\n'));
    return EXIT.ok;
  }
  const error = typedHere(failureOf(receipt), watched);
  screen.note('');
  showError(screen, error, { onStdout: false });
  return exitOf(receipt);
}

/** The agent does not know from where it is asked: what it proposes to type leads to it from here. */
function typedHere(error: ErrorBody, { command }: Watched): ErrorBody {
  const tries = error.tries.map((line) =>
    / --(app|host)\b/.test(line) ? line : onCommand(line, (own) => command(own.slice(OWN.length))),
  );
  return { ...error, tries };
}

const OWN = 'zdd-agent ';

/** Traffic that went there and back is always 21, whatever was the reason, unless a human must act. */
function exitOf({ outcome, error }: Receipt): number {
  if (error === null) return exitOfOutcome(outcome);
  const { exit } = ERRORS[error.code];
  return outcome === 'rolled_back' && exit !== EXIT.needsHuman ? EXIT.rolledBack : exit;
}

const LOOK_MS = 5_000;

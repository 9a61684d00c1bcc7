import type { ReleasesReply } from '../../agent/protocol/api.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import type { Context } from '../context.ts';
import { Interrupted } from '../interrupt.ts';
import { age, shortRelease } from '../render/amounts.ts';
import { clean, cut, table } from '../render/text.ts';
import { commandFor, findTarget } from '../target.ts';
import { UsageError } from '../usage-error.ts';
import { canAsk } from './ask.ts';

type Release = ReleasesReply['releases'][number];

const SOURCE = 34;

/**
 * Lets a person choose among the releases that have served well, newest first.
 * @returns its whole name
 * @throws UsageError without a terminal; ZDD_NOTHING_TO_ROLL_BACK; Interrupted
 */
export async function pickRelease(context: Context): Promise<string> {
  const { screen, interrupts } = context;
  if (!canAsk(screen)) {
    throw new UsageError('there is no terminal to choose on: name the release', [
      'zdd-agent releases',
      'zdd-agent rollback r41',
    ]);
  }
  const agent = await context.agent();
  const target = await findTarget(context, agent);
  const { releases } = await agent.releases(target.app, interrupts.signal);
  const good = releases.filter(({ state }) => state === 'warm' || state === 'good');
  if (good.length === 0) {
    throw new ZddError('ZDD_NOTHING_TO_ROLL_BACK', 'there is no earlier good release', {
      tries: [commandFor(context, target)('releases')],
    });
  }
  screen.alarm(choiceLines(releases, good, Date.now()).join('\n'));
  return choose(context, good);
}

function choiceLines(
  releases: readonly Release[],
  good: readonly Release[],
  now: number,
): string[] {
  const rows = releases
    .filter((each) => each.state === 'live' || good.includes(each))
    .map((each) => [
      each.state === 'live' ? '' : String(good.indexOf(each) + 1),
      each.release,
      each.state,
      age(now - each.createdAt),
      cut(clean(each.source), SOURCE),
    ]);
  return table(['', 'release', 'state', 'age', 'from'], rows);
}

async function choose(context: Context, good: readonly Release[]): Promise<string> {
  const { screen, interrupts } = context;
  const left = new AbortController();
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const leave = () => left.abort(new Interrupted());
  lines.once('SIGINT', leave).once('close', leave);
  const signal = AbortSignal.any([left.signal, interrupts.signal]);
  try {
    for (;;) {
      const typed = (await lines.question('back to [1]: ', { signal })).trim() || '1';
      const chosen =
        good[Number(typed) - 1] ??
        good.find(({ release }) => release === typed || shortRelease(release) === typed);
      if (chosen !== undefined) return chosen.release;
      screen.alarm(`  a number from 1 to ${good.length}, or a release of the list`);
    }
  } catch (cause) {
    if (signal.aborted) screen.raw('\n');
    signal.throwIfAborted();
    throw cause;
  } finally {
    lines.off('close', leave);
    lines.close();
  }
}

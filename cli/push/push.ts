import type { Context } from '../context.ts';
import { openProgress } from '../render/progress.ts';
import { EDGE } from '../render/screen.ts';
import { clean, leftRight } from '../render/text.ts';
import { type PushWish, prepare } from './prepare.ts';

/** Checks, packs, sends, starts, watches. @returns the exit code */
export async function push(context: Context, wish: PushWish): Promise<number> {
  const { signal } = context.interrupts;
  const opening = context.agent();
  // A problem with what is to be pushed comes first.
  opening.catch(() => undefined);
  const prepared = await prepare(context, wish);
  const { source, origin, app } = prepared;
  const agent = await opening;
  const progress = openProgress(context.screen);
  progress.line(
    `${leftRight(`${app ?? source.typed} → ${agent.where}`, `from ${clean(origin)}`, EDGE)}\n`,
  );
  // What follows is loaded once there is something to read.
  const { lookAt } = await import('./load.ts');
  const look = lookAt(source, prepared.commit, signal);
  try {
    if (wish.dryRun) {
      const { dryRun } = await import('./dry-run.ts');
      return await dryRun(context, agent, progress, look, prepared, wish);
    }
    const { deliver } = await import('./deliver.ts');
    return await deliver(context, agent, progress, look, prepared, wish);
  } finally {
    progress.clear();
    await look.close();
  }
}

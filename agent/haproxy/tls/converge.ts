import { ZddError } from '../../protocol/errors.ts';
import type { Context } from '../context.ts';
import type { DesiredTls } from '../desired.ts';
import { reload } from '../reload.ts';
import type { Conversation } from '../runtime.ts';
import { onWorker, WorkerChanged } from '../worker.ts';
import { differingTlsFiles, tlsPlaces } from './files.ts';
import { changeTls, observeTls, type TlsChange, tlsChanges } from './runtime.ts';

/** Who may read keys: the group is HAProxy's where it runs as a user of its own. */
export function keyMode({ options: { mode } }: Context): number {
  return mode === 'embedded' ? 0o600 : 0o640;
}

/**
 * Makes the running worker show what the files say, without a reload. What HAProxy refuses to be told
 * at runtime, a certificate longer than its buffer for one, it is told by a reload: so call this when
 * a reload would move nothing.
 * @returns whether something had to be done, and whether by a reload
 * @throws WorkerChanged, ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT, and what a reload throws
 */
export async function makeTlsTrue(
  context: Context,
  tls: DesiredTls,
  folder: string,
  pid: number,
  signal: AbortSignal,
): Promise<'nothing' | 'changed' | 'reloaded'> {
  const places = tlsPlaces(folder);
  try {
    return await onWorker(context, pid, signal, async (conversation) => {
      const changes = await changesOf(conversation, tls, folder);
      await changeTls(conversation, changes, places);
      return changes.length > 0 ? 'changed' : 'nothing';
    });
  } catch (error) {
    if (!(error instanceof ZddError) || error.code !== 'ZDD_HAPROXY_COMMAND') throw error;
    const { log } = context.options;
    log('warn', 'haproxy takes a certificate by a reload only', { why: error.message });
    await reload(context, signal);
    return 'reloaded';
  }
}

/** What differs in the files and in the running worker, in words. */
export async function differingTls(
  context: Context,
  tls: DesiredTls,
  folder: string,
  pid: number,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const files = await differingTlsFiles(folder, tls);
  const changes = await onWorker(context, pid, signal, (conversation) =>
    changesOf(conversation, tls, folder),
  );
  return [...new Set([...files, ...changes.map(({ what }) => what)])];
}

async function changesOf(
  conversation: Conversation,
  tls: DesiredTls,
  folder: string,
): Promise<readonly TlsChange[]> {
  const places = tlsPlaces(folder);
  const running = await observeTls(conversation, places);
  // The region that was loaded names a list; without one it is not the one that was wanted.
  if (running === undefined) throw new WorkerChanged();
  return tlsChanges(running, tls, places);
}

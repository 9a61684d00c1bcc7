import type { ReleaseEntry } from '../../../agent/protocol/manifest.ts';
import type { Agent } from '../../connect/agent.ts';
import { bytes as sizeText } from '../../render/amounts.ts';
import type { Progress } from '../../render/progress.ts';
import type { Load } from '../load.ts';
import type { Ahead } from '../pack/ahead.ts';
import { Outgoing } from '../pack/outgoing.ts';
import { packOutline } from '../pack/pack.ts';
import { filesOf } from '../source/tree.ts';
import { inOneUpload, sendOutline, sendPacked, uploadId } from './one-upload.ts';
import { allSent, type Sent } from './send.ts';

const NO_OUTLINE = Buffer.alloc(0);
/** For the digest of a file that has not been read: no content has it. */
const UNREAD = '0'.repeat(64);
/** Contents travel meanwhile: there is time for a way that is cut, ms. */
const REMOVED_MS = 15_000;

/**
 * Sends a folder of which the agent has nothing while it is still looked at, as one archive. Its names
 * and sizes are known first, and checked by the agent before a content travels. Shown as the step
 * `send`, which begins when all has been looked at.
 * @param looking that `ahead` packs
 * @throws what looking throws: then nothing stays at the agent
 */
export async function sendWhileLookedAt(
  agent: Agent,
  ahead: Ahead,
  looking: Promise<Load>,
  progress: Progress,
  { app, signal }: { readonly app: string; readonly signal: AbortSignal },
): Promise<Sent> {
  looking.catch(() => undefined);
  const stop = new AbortController();
  const outgoing = new Outgoing(NO_OUTLINE, await ahead.begin());
  return await inOneUpload(agent, async (id) => {
    const started = performance.now();
    const names = await Promise.race([ahead.names, looking.then(() => ahead.names)]);
    const { removed } = await check(agent, names, { app, signal });
    let looked = false;
    const sending = sendPacked(agent, id, outgoing, {
      offset: 0,
      signal: AbortSignal.any([signal, stop.signal]),
      onSent: (sent) => {
        if (looked) progress.update(`${sizeText(sent)} sent`);
      },
    });
    sending.catch(() => undefined);
    try {
      const load = await Promise.race([looking, sending.then(() => looking)]);
      if (load.kind !== 'tree') throw new Error('only a folder is sent while it is looked at');
      looked = true;
      progress.begin('send');
      const [artifact] = await Promise.all([sending, ahead.finish(load.tree)]);
      const ms = performance.now() - started;
      progress.done('send', allSent(filesOf(load.tree), outgoing.bytes), ms);
      return { artifact, ms };
    } finally {
      stop.abort();
      ahead.drop();
      await sending.catch(() => undefined);
      await removed;
    }
  });
}

/**
 * As the outline of an upload of its own, which is removed.
 * @returns settles when that is removed
 * @throws as `sendOutline`
 */
async function check(
  agent: Agent,
  entries: readonly ReleaseEntry[],
  options: { readonly app: string; readonly signal: AbortSignal },
): Promise<{ readonly removed: Promise<void> }> {
  const id = uploadId();
  const unread = entries.map((entry) =>
    entry.type === 'file' ? { ...entry, sha256: UNREAD } : entry,
  );
  const outline = packOutline({ entries: unread });
  try {
    await sendOutline(agent, id, outline, options);
    return { removed: agent.cancelUpload(id, REMOVED_MS) };
  } catch (cause) {
    await agent.cancelUpload(id);
    throw cause;
  }
}

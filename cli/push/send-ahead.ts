import type { Agent } from '../connect/agent.ts';
import { bytes as sizeText } from '../render/amounts.ts';
import type { Progress } from '../render/progress.ts';
import type { Ahead } from './ahead.ts';
import type { Load } from './load.ts';
import { inOneUpload, sendPacked } from './one-upload.ts';
import { Outgoing } from './outgoing.ts';
import { allSent, type Sent } from './send.ts';
import { filesOf } from './tree.ts';

const NO_OUTLINE = Buffer.alloc(0);

/**
 * Sends a folder of which the agent has nothing while it is still looked at, as one archive: there is
 * nothing to be asked about. Shown as the step `send`, which begins when all has been looked at.
 * @param looking that `ahead` packs
 * @throws what looking throws: then nothing stays at the agent
 */
export async function sendWhileLookedAt(
  agent: Agent,
  ahead: Ahead,
  looking: Promise<Load>,
  progress: Progress,
  signal: AbortSignal,
): Promise<Sent> {
  const stop = new AbortController();
  const outgoing = new Outgoing(NO_OUTLINE, await ahead.begin());
  return await inOneUpload(agent, async (id) => {
    const started = performance.now();
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
    }
  });
}

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { ArtifactReply } from '../../../agent/protocol/api.ts';
import type { Agent } from '../../connect/agent.ts';

export interface ToSend {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * The digest of a ready archive, hex: announced to the agent, so that nothing arrives damaged.
 * @throws the reason of `signal`
 */
export async function digestOf(path: string, signal: AbortSignal): Promise<string> {
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(path)) {
    // Not left to the stream, which has a reason of its own for an end.
    signal.throwIfAborted();
    digest.update(chunk);
  }
  return digest.digest('hex');
}

/** @param onSent bytes that have left this process so far */
export async function upload(
  agent: Agent,
  artifact: ToSend,
  signal: AbortSignal,
  onSent: (bytes: number) => void,
): Promise<ArtifactReply> {
  return agent.sendArtifact(
    {
      bytes: artifact.bytes,
      // The end is fixed: a file that grows meanwhile must not send more than was announced.
      open: () => createReadStream(artifact.path, { end: artifact.bytes - 1 }),
      onSent,
    },
    artifact.sha256,
    signal,
  );
}

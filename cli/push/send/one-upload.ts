import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import type { UploadReply } from '../../../agent/protocol/uploads.ts';
import type { Agent } from '../../connect/agent.ts';
import type { AppendOptions, Resendable } from '../../connect/uploads.ts';
import type { Outgoing } from '../pack/outgoing.ts';

/** Whatever goes wrong, nothing of it stays on the far side. */
export async function inOneUpload<T>(agent: Agent, work: (id: string) => Promise<T>): Promise<T> {
  const id = uploadId();
  try {
    return await work(id);
  } catch (cause) {
    await agent.cancelUpload(id);
    throw cause;
  }
}

/**
 * Sends an outline, which the agent holds against every rule for archives and against its room.
 * @throws ZDD_ARTIFACT_*, ZDD_DISK_FULL; as `Agent.append`
 */
export async function sendOutline(
  agent: Agent,
  id: string,
  outline: Buffer,
  options: { readonly app: string; readonly signal: AbortSignal },
): Promise<UploadReply> {
  const source: Resendable = { from: (at) => Readable.from([outline.subarray(at)]) };
  return await agent.append(id, source, { offset: 0, ...options });
}

/** An id for one upload. */
export function uploadId(): string {
  return randomBytes(16).toString('hex');
}

/**
 * Sends all that is packed, while it is packed, however long that takes: no request waits for it.
 * @returns the artifact
 * @throws what goes wrong with packing; as `Agent.append` and `Agent.finishUpload`
 */
export async function sendPacked(
  agent: Agent,
  id: string,
  outgoing: Outgoing,
  options: AppendOptions,
): Promise<string> {
  let { offset } = options;
  while (await outgoing.hasFrom(offset)) {
    ({ offset } = await agent.append(id, outgoing, { ...options, offset }));
  }
  const whole = { bytes: outgoing.bytes, sha256: outgoing.sha256() };
  return (await agent.finishUpload(id, whole, options.signal)).artifact;
}

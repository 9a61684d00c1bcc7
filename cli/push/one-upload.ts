import { randomBytes } from 'node:crypto';
import type { Agent } from '../connect/agent.ts';
import type { AppendOptions } from '../connect/uploads.ts';
import type { Outgoing } from './outgoing.ts';

/** Whatever goes wrong, nothing of it stays on the far side. */
export async function inOneUpload<T>(agent: Agent, work: (id: string) => Promise<T>): Promise<T> {
  const id = randomBytes(16).toString('hex');
  try {
    return await work(id);
  } catch (cause) {
    await agent.cancelUpload(id);
    throw cause;
  }
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

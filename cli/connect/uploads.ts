import type { Readable } from 'node:stream';
import type { ArtifactReply } from '../../agent/protocol/api.ts';
import type { FinishRequest, UploadReply } from '../../agent/protocol/uploads.ts';
import type { Connection } from './connection.ts';
import { persistently } from './persist.ts';

/** Bytes that can be read again from any place: after a cut an upload goes on where it was. */
export interface Resendable {
  from(offset: number): Readable;
}

const uploadReply = async () => (await import('../../agent/protocol/uploads.ts')).uploadReply;
const artifactReply = async () => (await import('../../agent/protocol/api.ts')).artifactReply;

export interface AppendOptions {
  /** Where to begin unless the agent has to be asked. */
  readonly offset: number;
  /** Of the whole, where known. */
  readonly bytes?: number;
  /** What is sent is the outline of a release of this app: asks what is lacking. */
  readonly app?: string;
  readonly signal: AbortSignal;
  /** Told how far it is, bytes of the whole. */
  onSent?(bytes: number): void;
}

/**
 * Appends to an upload all that its source has. Cuts and restarts of the agent are waited out.
 * @throws as `Connection.request`
 */
export async function append(
  connection: Connection,
  id: string,
  source: Resendable,
  options: AppendOptions,
): Promise<UploadReply> {
  const { bytes, app, signal, onSent } = options;
  let begun = options.offset > 0;
  let asked = true;
  // An agent that has taken something was there: one that restarts comes back.
  const way = {
    get canBeCut() {
      return connection.canBeCut || begun;
    },
  };
  return await persistently(way, signal, async () => {
    const offset = asked ? options.offset : await offsetOf(connection, id, signal);
    asked = false;
    return await connection.request('POST', `/v1/uploads/${id}`, uploadReply, {
      query: { offset, bytes, app },
      upload: {
        open: () => source.from(offset),
        onSent(sent) {
          begun = true;
          onSent?.(offset + sent);
        },
      },
      signal,
    });
  });
}

/** May be repeated: what was finished before the answer was lost is found. */
export async function finish(
  connection: Connection,
  id: string,
  body: FinishRequest,
  signal: AbortSignal,
): Promise<ArtifactReply> {
  return await persistently({ canBeCut: true }, signal, () =>
    // Large ones are hashed and brought to the disk before the answer.
    connection.request('POST', `/v1/uploads/${id}/finish`, artifactReply, {
      body,
      signal,
      deadlineMs: FINISH_MS,
    }),
  );
}

const FINISH_MS = 120_000;
/** Somebody has given up and waits for the prompt, ms. */
const CANCEL_MS = 2_000;

/**
 * Removes what came, if the agent can be reached within `withinMs`, cuts included: it removes what is left
 * alone by itself.
 */
export async function cancel(
  connection: Connection,
  id: string,
  withinMs: number = CANCEL_MS,
): Promise<void> {
  const signal = AbortSignal.timeout(withinMs);
  await persistently({ canBeCut: true }, signal, () =>
    connection.request('POST', `/v1/uploads/${id}/cancel`, uploadReply, { body: {}, signal }),
  ).catch(() => undefined);
}

async function offsetOf(connection: Connection, id: string, signal: AbortSignal): Promise<number> {
  const reply = await connection.request('GET', `/v1/uploads/${id}`, uploadReply, { signal });
  return reply.offset;
}

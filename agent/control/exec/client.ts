import type { Duplex } from 'node:stream';
import { type ErrorBody, toErrorBody, ZddError } from '../../protocol/errors.ts';
import {
  EXEC_SILENCE_MS,
  encodeFrame,
  type Frame,
  type FrameKind,
  FrameReader,
} from '../../protocol/exec.ts';

/** How long the last frames may take to be taken by a client that is leaving, ms. */
const GOODBYE_MS = 1_000;

/** The client of one session: frames in, frames out, and whether it is still there. */
export class ExecClient {
  /** Aborted when nobody is there any more: closed, silent, or not talking in frames. */
  readonly gone: AbortSignal;
  readonly #gone = new AbortController();
  readonly #socket: Duplex;
  readonly #reader = new FrameReader();
  readonly #silence: NodeJS.Timeout;
  #listener: ((frame: Frame) => void) | undefined;
  #waiting: Frame[] = [];

  /** @param head what came after the request for the upgrade */
  constructor(socket: Duplex, head: Buffer) {
    this.#socket = socket;
    this.gone = this.#gone.signal;
    const leave = (): void => this.#gone.abort();
    this.#silence = setTimeout(leave, EXEC_SILENCE_MS).unref();
    socket.on('error', leave).on('close', leave).on('end', leave);
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    if (head.length > 0) this.#take(head);
  }

  /** From now on each frame goes there, those that have come before as well. */
  onFrame(listener: (frame: Frame) => void): void {
    this.#listener = listener;
    for (const frame of this.#waiting.splice(0)) listener(frame);
  }

  /** @returns false when the client is to be given time, until `drained` */
  send(kind: FrameKind, payload?: Uint8Array | string): boolean {
    return this.sendFrame(encodeFrame(kind, payload));
  }

  sendFrame(frame: Buffer): boolean {
    return this.#socket.destroyed || this.#socket.write(frame);
  }

  drained(then: () => void): void {
    this.#socket.once('drain', then);
  }

  /** The last word: why there is no session, or no more of it. */
  refuse(thrown: unknown): ErrorBody {
    const error = toErrorBody(thrown);
    this.send('refused', JSON.stringify({ error }));
    return error;
  }

  /** Lets the last frames out and closes. */
  async close(): Promise<void> {
    clearTimeout(this.#silence);
    const socket = this.#socket;
    if (!socket.destroyed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const late = setTimeout(resolve, GOODBYE_MS);
      socket.end(resolve);
      if (this.gone.aborted) resolve();
      this.gone.addEventListener('abort', () => resolve(), { once: true });
      await promise;
      clearTimeout(late);
    }
    socket.destroy();
  }

  #take(bytes: Buffer): void {
    this.#silence.refresh();
    let frames: Frame[];
    try {
      frames = this.#reader.push(bytes);
    } catch {
      this.refuse(new ZddError('ZDD_PROTOCOL_MISMATCH', 'this is not how a session talks'));
      this.#gone.abort();
      return;
    }
    for (const frame of frames) {
      if (this.#listener === undefined) this.#waiting.push(frame);
      else this.#listener(frame);
    }
  }
}

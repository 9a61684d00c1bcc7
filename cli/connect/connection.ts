import type { Duplex, Readable } from 'node:stream';
import type { z } from 'zod';

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** Bytes to send as they are. */
export interface Upload {
  /** Announced as `content-length` before the first one, where known. */
  readonly bytes?: number;
  open(): Readable;
  /** Told how many bytes have left so far. */
  onSent?(bytes: number): void;
}

/**
 * Brings what reads an answer. It is asked for when there is nothing to do but wait: to build a large
 * schema takes as long as the login to a host.
 */
export type Reply<T> = () => z.ZodType<T> | Promise<z.ZodType<T>>;

export interface RequestOptions {
  readonly query?: Query;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly upload?: Upload;
  readonly signal?: AbortSignal;
  /** How long the answer may take, ms; with `upload`, how long nothing may move. Default 15 s. */
  readonly deadlineMs?: number;
}

export interface StreamOptions {
  readonly query?: Query;
  readonly signal?: AbortSignal;
  /**
   * The answer may begin as late as there is something to say: whoever follows looks after the
   * silence itself (`follow.ts`).
   */
  readonly patient?: boolean;
}

/**
 * The one way from the CLI to an agent: a unix socket, or SSH to one. Nothing above knows more than
 * requests, replies and streams.
 */
export interface Connection {
  /** For people: where the agent is. */
  readonly where: string;
  /** What the last answer said of the API that is spoken; null when it said nothing, or there was none. */
  api(): number | null;
  /** The way itself can be cut while the agent lives: what may be repeated is worth repeating. */
  readonly canBeCut: boolean;
  /**
   * @throws ZddError of the agent's error reply; ZDD_AGENT_UNREACHABLE; ZDD_PROTOCOL_MISMATCH when
   * the reply does not fit `reply`; the reason of `signal` once that is aborted.
   */
  request<T>(
    method: 'GET' | 'POST',
    path: string,
    reply: Reply<T>,
    options?: RequestOptions,
  ): Promise<T>;
  /**
   * The JSON values of an NDJSON answer, as they come. Ends when the agent ends it.
   * @throws as `request`; ZDD_AGENT_UNREACHABLE also when the stream is cut.
   */
  stream(path: string, options?: StreamOptions): AsyncIterable<unknown>;
  /**
   * Leaves HTTP behind: what the agent and we say to each other from now on is up to `protocol`.
   * @throws as `request`
   */
  upgrade(path: string, protocol: string, signal: AbortSignal): Promise<Duplex>;
  /** Lets go of what keeps the process alive. A request afterwards opens the way again. */
  close(): void;
}

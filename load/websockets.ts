import { setTimeout as wait } from 'node:timers/promises';
import type { RequestRecord } from './outcome.ts';
import type { WebSocketReport } from './report.ts';
import type { Target } from './request.ts';
import {
  type CountingWebSocket,
  type Gap,
  openWebSocket,
  type WebSocketClose,
} from './websocket.ts';

const KEPT = 100;
/** A browser's client waits a moment too before it connects again. */
const REOPEN_MS = { least: 100, spread: 300 };
/** Opened one after the other, so that the start is no storm of handshakes. */
const STAGGER_MS = 3;

export interface WebSocketsOptions {
  readonly target: Target;
  readonly count: number;
  readonly intervalMs: number;
  readonly deadlineMs: number;
  /** Says of a close by the server side that it was due. Asked when a report is made. */
  readonly closedByDrain: (close: WebSocketClose) => boolean;
  readonly shaken: (record: RequestRecord) => void;
  readonly signal: AbortSignal;
}

/** Keeps a number of WebSockets open and remembers how each went. */
export class WebSockets {
  readonly #options: WebSocketsOptions;
  readonly #open = new Set<CountingWebSocket>();
  readonly #closes: WebSocketClose[] = [];
  readonly #firstGaps: Gap[] = [];
  readonly #keepers: Promise<void>[];
  #opened = 0;
  #gaps = 0;
  #endedMessages = 0;
  #longestSilenceMs = 0;
  #held = 0;

  constructor(options: WebSocketsOptions) {
    this.#options = options;
    this.#keepers = Array.from({ length: options.count }, (_, index) => this.#keep(index));
  }

  get openNow(): number {
    let open = 0;
    for (const socket of this.#open) if (socket.isOpen) open += 1;
    return open;
  }

  /** Every close by the server side, in order. */
  get closes(): readonly WebSocketClose[] {
    return this.#closes;
  }

  /** Closes them all from this side and waits until they are gone; handshakes may take `ms` more. */
  async end(ms: number): Promise<void> {
    this.#held = this.openNow;
    for (const socket of this.#open) {
      if (socket.isOpen)
        this.#longestSilenceMs = Math.max(this.#longestSilenceMs, socket.silenceMs());
      socket.end(ms);
    }
    await Promise.all(this.#keepers);
  }

  report(): WebSocketReport {
    const cuts = this.#closes.filter((close) => !this.#options.closedByDrain(close));
    let messages = this.#endedMessages;
    let silenceMs = this.#longestSilenceMs;
    for (const socket of this.#open) {
      messages += socket.messages;
      if (socket.isOpen) silenceMs = Math.max(silenceMs, socket.silenceMs());
    }
    return {
      opened: this.#opened,
      held: this.#options.signal.aborted ? this.#held : this.openNow,
      messages,
      gaps: this.#gaps,
      closedByDrain: this.#closes.length - cuts.length,
      cutEarly: cuts.length,
      longestSilenceMs: Math.round(silenceMs),
      cuts: cuts.slice(0, KEPT),
      firstGaps: this.#firstGaps,
    };
  }

  async #keep(index: number): Promise<void> {
    const { signal } = this.#options;
    await pause(index * STAGGER_MS, signal);
    while (!signal.aborted) {
      await this.#hold();
      await pause(REOPEN_MS.least + Math.random() * REOPEN_MS.spread, signal);
    }
  }

  #hold(): Promise<void> {
    const { target, intervalMs, deadlineMs, shaken } = this.#options;
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const socket = openWebSocket(target, intervalMs, deadlineMs, {
      shaken: (record) => {
        if (record.outcome === 'ok') this.#opened += 1;
        shaken(record);
      },
      gap: (gap) => {
        this.#gaps += 1;
        if (this.#firstGaps.length < KEPT) this.#firstGaps.push(gap);
      },
      closed: (close, longestSilenceMs) => {
        if (!close.byClient) this.#closes.push(close);
        this.#longestSilenceMs = Math.max(this.#longestSilenceMs, longestSilenceMs);
      },
      over: () => {
        this.#endedMessages += socket.messages;
        this.#open.delete(socket);
        resolve();
      },
    });
    this.#open.add(socket);
    return over;
  }
}

/** Waits, or less when `signal` says that nobody needs to. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0) return;
  await wait(ms, undefined, { signal }).catch(() => undefined);
}

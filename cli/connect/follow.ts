import { setTimeout as pause } from 'node:timers/promises';
import { ZddError } from '../../agent/protocol/errors.ts';
import { LastingError } from './lasting.ts';

export interface Followed<T> {
  /** Opens the stream where it was left; calls `onThere` once an agent has answered at all. */
  open(signal: AbortSignal, onThere: () => void): AsyncIterable<T>;
  /** Asks the agent for a sign of life when the stream is silent. */
  ping(signal: AbortSignal): Promise<void>;
  /** Remembers the place. @returns false for an item that came before the drop already. */
  seen(item: T): boolean;
  readonly signal: AbortSignal;
  /** Told once when the agent goes out of reach. */
  readonly onGap?: (() => void) | undefined;
  /** Silence after which the agent is asked whether it lives, ms. */
  readonly idleMs?: number;
  /** How long the agent may be out of reach before the error is passed on, ms. */
  readonly outageMs?: number;
}

/** A restart of the agent, with recovery, is over long before this. */
const OUTAGE_MS = 60_000;
const IDLE_MS = 30_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

/**
 * A stream that outlives its connections: what the agent does goes on while it restarts, so the one
 * who watches does as well. Only an agent that was there once is waited for: one that is not there
 * at the start is an error, not a gap.
 * @throws what `open` throws, once the outage has lasted `outageMs` or waiting cannot mend it.
 */
export async function* followed<T>(options: Followed<T>): AsyncGenerator<T> {
  const { signal, outageMs = OUTAGE_MS } = options;
  let everThere = false;
  let gapSince: number | null = null;
  let pauseMs = FIRST_PAUSE_MS;
  const onThere = () => {
    everThere = true;
  };
  // Not on an opening alone: an agent that opens and ends the stream over and over is out of order.
  const onLife = () => {
    gapSince = null;
    pauseMs = FIRST_PAUSE_MS;
  };
  for (;;) {
    let cause: unknown;
    try {
      for await (const item of oneConnection(options, onThere, onLife)) {
        if (options.seen(item)) yield item;
      }
    } catch (thrown) {
      signal.throwIfAborted();
      if (!everThere || !passes(thrown)) throw thrown;
      cause = thrown;
    }
    if (gapSince === null) {
      gapSince = Date.now();
      options.onGap?.();
    } else if (Date.now() - gapSince > outageMs) {
      throw cause ?? new ZddError('ZDD_AGENT_UNREACHABLE', 'the agent keeps ending the stream');
    }
    await pause(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
  }
}

/** Errors that a restart of the agent, or a cut on the way to it, explains. */
export function passes(thrown: unknown): boolean {
  return (
    thrown instanceof ZddError &&
    !(thrown instanceof LastingError) &&
    (thrown.code === 'ZDD_AGENT_UNREACHABLE' || thrown.code === 'ZDD_AGENT_BUSY')
  );
}

/** The items of one connection. @throws also when a silent agent shows no sign of life. */
async function* oneConnection<T>(
  options: Followed<T>,
  onThere: () => void,
  onLife: () => void,
): AsyncGenerator<T> {
  const { idleMs = IDLE_MS } = options;
  const connection = new AbortController();
  const signal = AbortSignal.any([options.signal, connection.signal]);
  const items = options.open(signal, onThere)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = items.next();
      // Nobody waits for it any more when a sign of life is missing and this function leaves.
      next.catch(() => {});
      let result = await orSilence(next, idleMs);
      while (result === 'silence') {
        await options.ping(options.signal);
        onLife();
        result = await orSilence(next, idleMs);
      }
      if (result.done) return;
      onLife();
      yield result.value;
    }
  } finally {
    connection.abort();
  }
}

async function orSilence<R>(next: Promise<R>, idleMs: number): Promise<R | 'silence'> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<'silence'>((resolve) => {
    timer = setTimeout(() => resolve('silence'), idleMs);
  });
  try {
    return await Promise.race([next, silence]);
  } finally {
    clearTimeout(timer);
  }
}

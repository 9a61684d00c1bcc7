import { parseStreams, type Stream } from './streams.ts';

type Ask = (command: string) => Promise<string>;

/** A list is taken again only after this many times what it took to get it. */
const REST = 50;
const MAX_REST_MS = 10_000;
/** Workers whose lists are kept; those that have ended are pushed out. */
const MAX_WORKERS = 32;

interface Listed {
  readonly at: number;
  readonly tookMs: number;
  readonly streams: readonly Stream[];
}

/**
 * The streams of each worker. HAProxy stands still while it writes a part of the list (2.6: 39 ms
 * in all for 5,000 streams, and a request met meanwhile waits up to 20 ms), so nobody is to ask for
 * it all the time: it may take a fiftieth of the time at most.
 */
export class StreamsCache {
  readonly #lists = new Map<number, Listed>();

  /** The streams of a worker, as of now or of a moment ago. @throws what `ask` throws */
  async recent(worker: number, ask: Ask): Promise<readonly Stream[]> {
    const known = this.#lists.get(worker);
    return known !== undefined && isFresh(known) ? known.streams : await this.#list(worker, ask);
  }

  /** The streams as of now; undefined when they were asked for a moment ago. @throws as `recent` */
  async now(worker: number, ask: Ask): Promise<readonly Stream[] | undefined> {
    const known = this.#lists.get(worker);
    return known !== undefined && isFresh(known) ? undefined : await this.#list(worker, ask);
  }

  async #list(worker: number, ask: Ask): Promise<readonly Stream[]> {
    const began = performance.now();
    const streams = parseStreams(await ask('show sess all'));
    const at = performance.now();
    this.#lists.delete(worker);
    this.#lists.set(worker, { at, tookMs: at - began, streams });
    const [oldest] = this.#lists.keys();
    if (this.#lists.size > MAX_WORKERS && oldest !== undefined) this.#lists.delete(oldest);
    return streams;
  }
}

function isFresh({ at, tookMs }: Listed): boolean {
  return performance.now() - at < Math.min(MAX_REST_MS, tookMs * REST);
}

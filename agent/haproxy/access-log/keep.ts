import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { COARSE_MS, coarsen, type ServerBook, type SignalTick } from './book.ts';

/** No gate looks further back than this, ms. */
const KEPT_MS = 20 * 60_000;
/** Times between two writes, ms, when they are cheap. */
const EVERY_MS = 5_000;
/** On a host of hundreds of apps less often: at most a thousandth of a core. */
const IDLE_SHARE = 1_000;

const count = z.int().min(0);
const pairs = <K extends z.ZodType>(key: K) =>
  z.array(z.tuple([key, count])).transform((list) => new Map(list));

const tick = z.strictObject({
  from: z.number(),
  to: z.number(),
  requests: count,
  failed: count,
  aborted: count,
  websockets: count,
  elsewhere: count,
  latency: pairs(count),
  failures: pairs(z.string()),
  oneOf: z.int().min(1),
});

const keptBooks = z.strictObject({
  schemaVersion: z.literal(1),
  books: z.array(z.tuple([z.string(), z.array(tick)])),
});

/** Server by server, what is known of it. */
export type Books = ReadonlyMap<string, ServerBook>;

/**
 * The books as text. Seconds of the last two minutes, before that minutes: what a release is judged
 * by must outlive the agent, or one that was restarted blames the new release for what the old one
 * did as well.
 */
export function textOf(books: Books, now: number): string {
  const kept = [...books].flatMap(([key, book]) => {
    const ticks = coarsen(book.ticks(), now - 2 * COARSE_MS, now - KEPT_MS);
    return ticks.length === 0 ? [] : [[key, ticks.map(plain)]];
  });
  return JSON.stringify({ schemaVersion: 1, books: kept });
}

function plain(one: SignalTick) {
  return { ...one, latency: [...one.latency], failures: [...one.failures] };
}

/** What the agent before has kept; nothing when it is not to be read, or its times are to come. */
export async function readKept(
  path: string,
  now: number,
): Promise<ReadonlyArray<readonly [string, readonly SignalTick[]]>> {
  try {
    const { books } = keptBooks.parse(JSON.parse(await readFile(path, 'utf8')));
    return books.map(([key, ticks]) => [key, ticks.filter(({ from }) => from <= now)]);
  } catch {
    return [];
  }
}

/** Writes the books now and then, and at the end. Losing them loses evidence, nothing else. */
export class Keeper {
  readonly #path: string;
  readonly #text: () => string;
  readonly #failed: (error: unknown) => void;
  #timer: NodeJS.Timeout | undefined;
  #last: Promise<void> = Promise.resolve();
  #written = '';

  constructor(path: string, text: () => string, failed: (error: unknown) => void) {
    this.#path = path;
    this.#text = text;
    this.#failed = failed;
  }

  start(): void {
    this.#again(EVERY_MS);
  }

  /** Writes what is known by now: whoever is killed a moment later has lost nothing of it. */
  async keep(): Promise<void> {
    this.#write();
    await this.#last;
  }

  /** Writes once more. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.keep();
  }

  #again(ms: number): void {
    this.#timer = setTimeout(() => {
      const began = performance.now();
      this.#write();
      // The text is made at once; the disk is waited for elsewhere.
      this.#again(Math.max(EVERY_MS, IDLE_SHARE * (performance.now() - began)));
    }, ms);
    this.#timer.unref();
  }

  #write(): void {
    const text = this.#text();
    this.#last = this.#last.then(() => this.#put(text));
  }

  async #put(text: string): Promise<void> {
    if (text === this.#written) return;
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      await writeFile(`${this.#path}.tmp`, text, { mode: 0o600 });
      await rename(`${this.#path}.tmp`, this.#path);
      this.#written = text;
    } catch (error) {
      this.#failed(error);
    }
  }
}

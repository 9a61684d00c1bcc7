import { findData, isData, type LogLine, readData, workerOf } from './format.ts';

/** Requests a second up to which every line is read whole; above, one of k. */
export const FULL_RATE = 5_000;
/** A line longer than this is none of ours: HAProxy cuts them far below. */
const MAX_PENDING = 64 * 1024;

/** Lines of one worker about one backend that came, read whole or not. */
export interface LineCount {
  lines: number;
}

/** Where lines go. */
export interface LineSink {
  readonly counter: (worker: number, backend: string) => LineCount;
  /** A line read whole. @param oneOf how many lines it stands for */
  readonly line: (line: LogLine, oneOf: number) => void;
}

/** Decides which lines are read whole, for all connections together, so that the cost is bounded. */
export class Sampling {
  /** At present, one of so many. */
  oneOf = 1;
  #next = 0;
  #lines = 0;
  #since = 0;

  /** Called for each chunk. @param now ms */
  measure(now: number): void {
    const passed = now - this.#since;
    if (passed < 1_000) return;
    // After a silence, or at a burst out of HAProxy's ring, the rate says nothing about the next one.
    const rate = passed < 5_000 ? (1_000 * this.#lines) / passed : 0;
    // A tenth above is the same rate.
    this.oneOf = Math.max(1, Math.ceil(rate / FULL_RATE - 0.1));
    this.#since = now;
    this.#lines = 0;
  }

  /** Whether the next line is read whole. */
  take(): boolean {
    this.#lines += 1;
    this.#next += 1;
    if (this.#next < this.oneOf) return false;
    this.#next = 0;
    return true;
  }
}

/** Reads the lines of one connection: one worker of HAProxy. */
export class LineReader {
  readonly #name: string;
  readonly #sink: LineSink;
  readonly #sampling: Sampling;
  #rest = '';
  #worker: number | null = null;
  /** From a line's start to its data: alike for all lines of a worker. */
  #offset = 0;
  readonly #counts = new Map<string, LineCount>();

  /** @param name of the data of our lines */
  constructor(name: string, sink: LineSink, sampling: Sampling) {
    this.#name = name;
    this.#sink = sink;
    this.#sampling = sampling;
  }

  /** @returns false when what comes is not HAProxy's log */
  read(chunk: Buffer): boolean {
    // latin1: a byte a character, so that nothing has to be decoded.
    const text = this.#rest + chunk.toString('latin1');
    let from = 0;
    for (;;) {
      const end = text.indexOf('\n', from);
      if (end < 0) break;
      this.#line(text, from, end);
      from = end + 1;
    }
    this.#rest = text.slice(from);
    return this.#rest.length < MAX_PENDING;
  }

  #line(text: string, from: number, end: number): void {
    let data = from + this.#offset;
    if (this.#worker === null || data > end || !isData(this.#name, text, data)) {
      data = findData(this.#name, text, from, end);
      if (data < 0) return;
      this.#worker = workerOf(text, from, data);
      if (this.#worker === null) return;
      this.#offset = data - from;
    }
    const backend = text.slice(data, text.indexOf(' ', data));
    let count = this.#counts.get(backend);
    if (count === undefined) {
      count = this.#sink.counter(this.#worker, backend);
      this.#counts.set(backend, count);
    }
    count.lines += 1;
    if (!this.#sampling.take()) return;
    const line = readData(text, data, end);
    if (line !== null) this.#sink.line(line, this.#sampling.oneOf);
  }
}

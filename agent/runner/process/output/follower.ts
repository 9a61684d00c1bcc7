import type { InstanceSpec, OutputFilter, OutputLine } from '../../runner.ts';
import { LineSplitter } from './lines.ts';
import { readBytes, type StreamFile } from './stream-file.ts';

/** Lines kept for a reader that is slower than the apps; then the oldest go. */
const QUEUE_LINES = 20_000;
const CHUNK_BYTES = 1_024 * 1_024;

interface Place {
  position: number;
  readonly splitter: LineSplitter;
}

/** Whether the output of this instance is asked for. */
export function matches(spec: InstanceSpec, { app, release, process }: OutputFilter): boolean {
  return (
    spec.app === app &&
    (release === undefined || spec.release === release) &&
    (process === undefined || spec.process === process)
  );
}

/** Someone who reads new lines as they come. The runner's tick feeds it. */
export class Follower {
  readonly #filter: OutputFilter;
  readonly #places = new Map<string, Place>();
  readonly #queue: OutputLine[] = [];
  #wake: () => void = () => {};

  constructor(filter: OutputFilter) {
    this.#filter = filter;
  }

  /** Begins at the present end of a stream. Streams that are not skipped are read from their start. */
  skip(spec: InstanceSpec, file: StreamFile): void {
    if (!matches(spec, this.#filter)) return;
    const size = file.stat()?.size ?? 0;
    this.#places.set(file.path, { position: size, splitter: startingAt(file.path, size) });
  }

  /** Takes what is new in a stream. */
  collect(spec: InstanceSpec, file: StreamFile): void {
    if (!matches(spec, this.#filter)) return;
    const stat = file.stat();
    if (stat === undefined) return;
    const place = this.#placeOf(file);
    while (place.position < stat.size) {
      const end = Math.min(stat.size, place.position + CHUNK_BYTES);
      const bytes = readBytes(file.path, place.position, end);
      if (bytes.length === 0) break;
      place.position += bytes.length;
      this.#add(spec, file, Math.floor(stat.mtimeMs), place.splitter.push(bytes));
    }
  }

  /** The file has been emptied. */
  restart(file: StreamFile): void {
    const place = this.#places.get(file.path);
    if (place !== undefined) place.position = 0;
  }

  /** Nothing more comes from this stream: what has no line end is a line too. */
  finish(spec: InstanceSpec, file: StreamFile): void {
    const place = this.#places.get(file.path);
    if (place === undefined) return;
    this.#add(spec, file, Math.floor(file.stat()?.mtimeMs ?? Date.now()), place.splitter.end());
  }

  /** New lines until `signal`; ends without an error then. */
  async *lines(signal: AbortSignal): AsyncGenerator<OutputLine, void, undefined> {
    const wake = () => this.#wake();
    signal.addEventListener('abort', wake);
    try {
      while (!signal.aborted) {
        const line = this.#queue.shift();
        if (line !== undefined) {
          yield line;
          continue;
        }
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#wake = resolve;
        await promise;
      }
    } finally {
      signal.removeEventListener('abort', wake);
    }
  }

  #placeOf(file: StreamFile): Place {
    const known = this.#places.get(file.path);
    if (known !== undefined) return known;
    const place = { position: 0, splitter: new LineSplitter() };
    this.#places.set(file.path, place);
    return place;
  }

  #add(spec: InstanceSpec, file: StreamFile, at: number, texts: readonly string[]): void {
    const { slot, app, release } = spec;
    for (const text of texts) {
      this.#queue.push({ at, slot, app, release, stream: file.stream, text });
    }
    if (this.#queue.length > QUEUE_LINES) this.#queue.splice(0, this.#queue.length - QUEUE_LINES);
    if (texts.length > 0) this.#wake();
  }
}

/** Holds the beginning of a line that is being written, so that its end makes a whole line. */
function startingAt(path: string, size: number): LineSplitter {
  const splitter = new LineSplitter();
  if (size === 0) return splitter;
  const bytes = readBytes(path, Math.max(0, size - CHUNK_BYTES), size);
  splitter.push(bytes.subarray(bytes.lastIndexOf(0x0a) + 1));
  return splitter;
}

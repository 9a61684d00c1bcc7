import {
  appendFileSync,
  closeSync,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

const PRIVATE = { mode: 0o600 };
const CHUNK_BYTES = 256 * 1_024;
/** A writer faster than our copying may lose what it writes in the last of these rounds. */
const CATCH_UP_ROUNDS = 16;

/** The bytes before `end` had arrived at `at`. */
export interface Arrival {
  readonly end: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/**
 * One output stream of a slot. The app itself appends to the file, so nothing is lost while no
 * daemon runs; beside it, `.times` says which part of it had arrived when, and `.1` keeps the
 * part before it was cut. Only files: each daemon finds what the one before knew.
 */
export class StreamFile {
  readonly stream: 'out' | 'err';
  readonly path: string;
  readonly #partBytes: number;
  #noted: number;

  /** @param limitBytes about the most that both parts and their times may take together */
  constructor(folder: string, stream: 'out' | 'err', limitBytes: number) {
    this.stream = stream;
    this.path = join(folder, stream);
    this.#partBytes = Math.max(1, Math.floor(limitBytes / 2));
    this.#noted = readArrivals(this.path).at(-1)?.end ?? 0;
  }

  /** A descriptor for the instance to append to. The caller closes it. */
  openForAppending(): number {
    return openSync(this.path, 'a', 0o600);
  }

  /** Size and time of the last write; undefined when the instance never had this file. */
  stat(): Stats | undefined {
    return statSync(this.path, { throwIfNoEntry: false });
  }

  /** Notes when what is new has arrived: exactly for the last write, at most one tick off for others. */
  note(): void {
    const stat = this.stat();
    if (stat === undefined) return;
    if (stat.size < this.#noted) this.#restartTimes();
    if (stat.size === this.#noted) return;
    appendFileSync(`${this.path}.times`, `${stat.size} ${Math.floor(stat.mtimeMs)}\n`, PRIVATE);
    this.#noted = stat.size;
  }

  isTooLarge(): boolean {
    const times = statSync(`${this.path}.times`, { throwIfNoEntry: false })?.size ?? 0;
    return (this.stat()?.size ?? 0) + times > this.#partBytes;
  }

  /**
   * Keeps the end of the file as `.1` and empties it in place, since the instance has it open. What
   * the instance writes in the microseconds between the last look and the emptying is lost.
   * @param beforeCut called when something new is copied and about to go: the chance to read it
   */
  cut(beforeCut: () => void): void {
    this.note();
    const before = `${this.path}.1`;
    const from = startOfLine(this.path, Math.max(0, this.#noted - this.#partBytes));
    const arrivals = readArrivals(this.path).filter(({ end }) => end > from);
    writeFileSync(`${before}.new`, '', PRIVATE);
    let copied = copyBytes(this.path, `${before}.new`, from);
    const times = arrivals.map(({ end, at }) => `${end - from} ${at}\n`);
    writeFileSync(`${before}.times`, times.join(''), PRIVATE);
    renameSync(`${before}.new`, before);
    const file = openSync(this.path, 'r+');
    try {
      for (let round = 0; round < CATCH_UP_ROUNDS && wholeSize(file) > copied; round += 1) {
        beforeCut();
        copied = copyBytes(this.path, before, copied);
      }
      ftruncateSync(file);
    } finally {
      closeSync(file);
    }
    this.#restartTimes();
  }

  #restartTimes(): void {
    writeFileSync(`${this.path}.times`, '', PRIVATE);
    this.#noted = 0;
  }
}

/**
 * Size of a file in which no write is half done: a large one shows part by part, and emptying would
 * wait for it only to take what it has written since. Changing the mode, to what it is, waits as well.
 */
function wholeSize(file: number): number {
  fchmodSync(file, PRIVATE.mode);
  return fstatSync(file).size;
}

/** The bytes of a file from `from` to `to`, fewer when it has become shorter. */
export function readBytes(path: string, from: number, to: number): Buffer {
  const buffer = Buffer.alloc(Math.max(0, to - from));
  const file = openSync(path, 'r');
  try {
    let filled = 0;
    while (filled < buffer.length) {
      const count = readSync(file, buffer, filled, buffer.length - filled, from + filled);
      if (count === 0) break;
      filled += count;
    }
    return buffer.subarray(0, filled);
  } finally {
    closeSync(file);
  }
}

/** When the parts of a stream arrived, oldest first. */
export function readArrivals(path: string): readonly Arrival[] {
  let text: string;
  try {
    text = readFileSync(`${path}.times`, 'latin1');
  } catch {
    return [];
  }
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [end, at] = line.split(' ');
      return { end: Number(end), at: Number(at) };
    });
}

/** Appends what `source` has from `from` on to `target`; returns how far `source` is copied. */
function copyBytes(source: string, target: string, from: number): number {
  let copied = from;
  for (;;) {
    const bytes = readBytes(source, copied, copied + CHUNK_BYTES);
    if (bytes.length === 0) return copied;
    appendFileSync(target, bytes, PRIVATE);
    copied += bytes.length;
  }
}

function startOfLine(path: string, offset: number): number {
  if (offset === 0) return 0;
  const end = readBytes(path, offset, offset + CHUNK_BYTES).indexOf(0x0a);
  return end === -1 ? offset : offset + end + 1;
}

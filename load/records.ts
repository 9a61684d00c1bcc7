import { isLost, KINDS, type Kind, OUTCOMES, type Outcome, type RequestRecord } from './outcome.ts';

/** A request as it is read back; `detail` is kept for lost ones only (see `losses`). */
export type Row = Omit<RequestRecord, 'detail'>;

const FIRST_CAPACITY = 16_384;
/** A soak of half an hour meets as many requests under way at its kills as this, many times over. */
const KEPT_LOSSES = 50_000;

/**
 * Every request of a run in typed arrays, about 22 bytes each, so that a few hundred thousand of
 * them neither grow the heap nor make the garbage collector part of what is measured.
 */
export class Records {
  readonly #limit: number;
  readonly #releases: string[] = [''];
  readonly #losses: RequestRecord[] = [];
  #length = 0;
  #lost = 0;
  #appErrors = 0;
  #start = new Float64Array(FIRST_CAPACITY);
  #firstByteMs = new Float32Array(FIRST_CAPACITY);
  #ms = new Float32Array(FIRST_CAPACITY);
  #status = new Uint16Array(FIRST_CAPACITY);
  #release = new Uint16Array(FIRST_CAPACITY);
  #kind = new Uint8Array(FIRST_CAPACITY);
  #outcome = new Uint8Array(FIRST_CAPACITY);
  #reused = new Uint8Array(FIRST_CAPACITY);

  /** @param limit the most requests that are kept; the load ends itself when they are reached. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#length;
  }

  get lost(): number {
    return this.#lost;
  }

  get appErrors(): number {
    return this.#appErrors;
  }

  get full(): boolean {
    return this.#length >= this.#limit;
  }

  /** The first thousand lost requests, whole. */
  get losses(): readonly RequestRecord[] {
    return this.#losses;
  }

  add(record: RequestRecord): void {
    if (this.#length === this.#start.length) this.#grow();
    const index = this.#length;
    this.#start[index] = record.start;
    this.#firstByteMs[index] = record.firstByte - record.start;
    this.#ms[index] = record.end - record.start;
    this.#status[index] = record.status;
    this.#release[index] = this.#releaseIndex(record.release);
    this.#kind[index] = KINDS.indexOf(record.kind);
    this.#outcome[index] = OUTCOMES.indexOf(record.outcome);
    this.#reused[index] = record.reused ? 1 : 0;
    this.#length += 1;
    if (record.outcome === 'appError') this.#appErrors += 1;
    if (!isLost(record.outcome)) return;
    this.#lost += 1;
    if (this.#losses.length < KEPT_LOSSES) this.#losses.push(record);
  }

  *rows(): Generator<Row> {
    for (let index = 0; index < this.#length; index += 1) {
      const start = at(this.#start, index);
      yield {
        kind: kindAt(at(this.#kind, index)),
        start,
        firstByte: start + at(this.#firstByteMs, index),
        end: start + at(this.#ms, index),
        status: at(this.#status, index),
        release: this.#releases[at(this.#release, index)] ?? '',
        outcome: outcomeAt(at(this.#outcome, index)),
        reused: at(this.#reused, index) === 1,
      };
    }
  }

  #releaseIndex(release: string): number {
    const known = this.#releases.indexOf(release);
    return known >= 0 ? known : this.#releases.push(release) - 1;
  }

  #grow(): void {
    const capacity = this.#start.length * 2;
    this.#start = copied(this.#start, new Float64Array(capacity));
    this.#firstByteMs = copied(this.#firstByteMs, new Float32Array(capacity));
    this.#ms = copied(this.#ms, new Float32Array(capacity));
    this.#status = copied(this.#status, new Uint16Array(capacity));
    this.#release = copied(this.#release, new Uint16Array(capacity));
    this.#kind = copied(this.#kind, new Uint8Array(capacity));
    this.#outcome = copied(this.#outcome, new Uint8Array(capacity));
    this.#reused = copied(this.#reused, new Uint8Array(capacity));
  }
}

type Column = Float64Array | Float32Array | Uint16Array | Uint8Array;

function copied<C extends Column>(from: C, into: C): C {
  into.set(from);
  return into;
}

function at(column: Column, index: number): number {
  return column[index] ?? 0;
}

function kindAt(index: number): Kind {
  const kind = KINDS[index];
  if (kind === undefined) throw new RangeError(`no kind has the number ${index}`);
  return kind;
}

function outcomeAt(index: number): Outcome {
  const outcome = OUTCOMES[index];
  if (outcome === undefined) throw new RangeError(`no outcome has the number ${index}`);
  return outcome;
}

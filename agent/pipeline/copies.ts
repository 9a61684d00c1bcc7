import { request } from 'node:http';
import { binOf } from '../core/verdict/histogram.ts';
import {
  type AnswerClass,
  classOf,
  isFailure,
  type ShadowPair,
  type ShadowTally,
} from '../core/verdict/shadow.ts';
import type { MirroredRequest } from '../haproxy/proxy.ts';
import type { Listen } from '../runner/runner.ts';

/** Copies that the candidate answers at one time: it shares the machine with live traffic. */
const MOST_AT_ONCE = 8;
/** Copies that wait for their turn; what comes then is dropped. */
const MOST_WAITING = 64;
/** Copies a second: more would say no more, and take from live traffic. */
const MOST_PER_SECOND = 200;
/** A deadline that is noticed so much later says that the agent was held up, not the candidate, ms. */
const LATE_MS = 500;
/** An answer is thrown away; more of it than this need not even come, bytes. */
const MOST_OF_AN_ANSWER = 1024 * 1024;

/** Where copies go. */
export interface CopiesOptions {
  /** The candidate's instances, asked in turn. */
  readonly listens: readonly Listen[];
  /** How long the candidate has for an answer, ms. */
  readonly timeoutMs: number;
  /** Monotonic, ms. */
  readonly now?: () => number;
}

/**
 * Sends copies of live requests to a candidate's own sockets and compares the answers. Bounded in
 * every way: what does not fit is dropped and counted.
 */
export class Copies {
  readonly #options: CopiesOptions;
  readonly #waiting: MirroredRequest[] = [];
  readonly #underWay = new Map<Promise<void>, AbortController>();
  readonly #live = noAnswers();
  readonly #candidate = noAnswers();
  readonly #liveLatency = new Map<number, number>();
  readonly #candidateLatency = new Map<number, number>();
  readonly #now: () => number;
  #pairs = 0;
  #judged = 0;
  #failed = 0;
  #dropped = 0;
  #unfit = 0;
  #turn = 0;
  #closed = false;
  /** Copies that may be sent at once; refilled as time passes. */
  #allowance = MOST_PER_SECOND;
  #refilledAt: number;

  constructor(options: CopiesOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#refilledAt = this.#now();
  }

  /** Copies not sent, or given up. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Live requests that could not be copied whole. */
  get unfit(): number {
    return this.#unfit;
  }

  get tally(): ShadowTally {
    return {
      pairs: this.#pairs,
      live: { ...this.#live },
      candidate: { ...this.#candidate },
      judged: this.#judged,
      failed: this.#failed,
      liveLatency: this.#liveLatency,
      candidateLatency: this.#candidateLatency,
    };
  }

  /** Takes a copy, or drops it. Never waits. */
  offer(copy: MirroredRequest | 'unfit'): void {
    if (copy === 'unfit') {
      this.#unfit += 1;
      return;
    }
    // Upgraded after all, or no status at all: there is nothing to compare.
    if (copy.status < 200) return;
    if (this.#closed || this.#waiting.length >= MOST_WAITING || !this.#mayCopy()) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(copy);
    this.#next();
  }

  /** Lets what is under way end, each by its own deadline; what waits is dropped. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#dropped += this.#waiting.length;
    this.#waiting.length = 0;
    await Promise.all(this.#underWay.keys());
  }

  /** Ends everything now. */
  abort(): void {
    this.#closed = true;
    this.#waiting.length = 0;
    for (const controller of this.#underWay.values()) controller.abort();
  }

  #mayCopy(): boolean {
    const now = this.#now();
    const gained = ((now - this.#refilledAt) * MOST_PER_SECOND) / 1_000;
    this.#allowance = Math.min(MOST_PER_SECOND, this.#allowance + gained);
    this.#refilledAt = now;
    if (this.#allowance < 1) return false;
    this.#allowance -= 1;
    return true;
  }

  #next(): void {
    if (this.#underWay.size >= MOST_AT_ONCE) return;
    const copy = this.#waiting.shift();
    const { listens, timeoutMs } = this.#options;
    const listen = listens[this.#turn % listens.length];
    if (copy === undefined || listen === undefined) return;
    this.#turn += 1;
    const controller = new AbortController();
    const sent = send(copy, listen, timeoutMs, controller.signal, (candidate, candidateMs) => {
      if (candidate === 'none' && candidateMs > timeoutMs + LATE_MS) {
        this.#dropped += 1;
        return;
      }
      this.#compare({
        live: classOf(copy.status),
        candidate,
        liveMs: copy.waitMs,
        candidateMs,
      });
    }).finally(() => {
      this.#underWay.delete(sent);
      this.#next();
    });
    this.#underWay.set(sent, controller);
  }

  #compare({ live, candidate, liveMs, candidateMs }: ShadowPair): void {
    this.#pairs += 1;
    this.#live[live] += 1;
    this.#candidate[candidate] += 1;
    if (isFailure(live)) return;
    this.#judged += 1;
    if (isFailure(candidate)) {
      this.#failed += 1;
      return;
    }
    // Only where both answered: a failure that is quick is not fast.
    count(this.#liveLatency, binOf(liveMs));
    count(this.#candidateLatency, binOf(candidateMs));
  }
}

function count(histogram: Map<number, number>, bin: number): void {
  histogram.set(bin, (histogram.get(bin) ?? 0) + 1);
}

function noAnswers(): Record<AnswerClass, number> {
  return { '2xx': 0, '3xx': 0, '4xx': 0, '5xx': 0, none: 0 };
}

/**
 * Sends one copy on a fresh connection and tells how it was answered, once its head is there or the
 * deadline is over. Resolves when nothing of it is left; never rejects.
 */
function send(
  { method, path, headers, body }: MirroredRequest,
  listen: Listen,
  timeoutMs: number,
  given: AbortSignal,
  answered: (answer: AnswerClass, ms: number) => void,
): Promise<void> {
  if (listen.kind === 'none') return Promise.resolve();
  const place =
    listen.kind === 'unix' ? { socketPath: listen.path } : { host: '127.0.0.1', port: listen.port };
  const signal = AbortSignal.any([given, AbortSignal.timeout(timeoutMs)]);
  const began = performance.now();
  return new Promise((resolve) => {
    let told = false;
    const tell = (answer: AnswerClass): void => {
      // Who was told to end has not failed.
      if (!told && !given.aborted) answered(answer, performance.now() - began);
      told = true;
    };
    const fail = (): void => {
      tell('none');
      resolve();
    };
    try {
      const outgoing = request(
        {
          ...place,
          method,
          path,
          agent: false,
          signal,
          headers: {
            ...headers,
            'x-zdd-shadow': '1',
            connection: 'close',
            ...(body === null ? {} : { 'content-length': body.length }),
          },
        },
        (incoming) => {
          tell(classOf(incoming.statusCode ?? 0));
          let size = 0;
          incoming.on('data', (chunk: Buffer) => {
            size += chunk.length;
            if (size > MOST_OF_AN_ANSWER) incoming.destroy();
          });
          incoming.on('error', () => resolve());
          incoming.on('close', () => resolve());
        },
      );
      outgoing.on('error', fail);
      outgoing.end(body ?? undefined);
    } catch {
      // Something in it that Node does not send: told by nobody's answer, so it is not compared.
      resolve();
    }
  });
}

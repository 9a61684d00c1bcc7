import { createHash, randomUUID } from 'node:crypto';
import type { Kind } from './outcome.ts';
import type { RequestPlan } from './request.ts';

/** The kinds that clients send one after the other. */
export type RequestKind = Exclude<Kind, 'websocket'>;

/** How many clients of each kind there are; each has one request in flight at most. */
export type Mix = Readonly<Record<RequestKind, number>>;

export const DEFAULT_MIX: Mix = { busy: 12, idle: 20, fresh: 4, slow: 8, upload: 4, stream: 4 };

/** Kinds whose time depends on the servers alone, so that their quantiles mean something. */
export const QUICK_KINDS: ReadonlySet<Kind> = new Set(['busy', 'idle', 'fresh', 'upload']);

const IDLE_THINK_MS = { least: 20, most: 320 };
const SLOW_MS = { least: 300, most: 1_800 };
const STREAM = { chunks: 10, ms: 20 };
const UPLOAD_BYTES = 4_096;

/** How the requests of the kinds that have no pace of their own are divided. */
const PACED: ReadonlyArray<readonly [RequestKind, number]> = [
  ['busy', 8],
  ['fresh', 1],
  ['upload', 1],
];

/** One request, and how long after its start the same client sends the next, ms. */
export interface Step {
  readonly plan: Omit<RequestPlan, 'agent' | 'deadlineMs'>;
  /** Time that the answer takes because it was asked to; the deadline comes on top. */
  readonly askedMs: number;
  /** The earliest start of the next request, ms after the start of this one. */
  readonly everyMs: number;
  /** The pause after the answer, ms. */
  readonly thinkMs: number;
}

/** The next request of a client. `pacedMs`: see `pacing`. */
export function nextStep(kind: RequestKind, pacedMs: number): Step {
  switch (kind) {
    case 'busy':
    case 'fresh':
      return home(kind, { everyMs: pacedMs, thinkMs: 0 });
    case 'idle':
      return home(kind, { everyMs: 0, thinkMs: between(IDLE_THINK_MS) });
    case 'upload':
      return upload(pacedMs);
    case 'slow': {
      const askedMs = Math.round(between(SLOW_MS));
      return {
        plan: { kind, method: 'GET', path: `/slow?ms=${askedMs}`, check: has('"slept":') },
        askedMs,
        everyMs: askedMs,
        thinkMs: 0,
      };
    }
    case 'stream': {
      const { chunks, ms } = STREAM;
      return {
        plan: {
          kind,
          method: 'GET',
          path: `/stream?chunks=${chunks}&ms=${ms}`,
          check: (body) => (body.endsWith(`END ${chunks}\n`) ? 'ok' : 'cut'),
        },
        askedMs: chunks * ms,
        everyMs: chunks * ms,
        thinkMs: 0,
      };
    }
  }
}

/**
 * The time from start to start of each client of the paced kinds, so that the whole mix sends
 * about `rate` requests a second. Slow, streamed and idle-ish clients keep their own pace.
 */
export function pacing(mix: Mix, rate: number): ReadonlyMap<RequestKind, number> {
  const middle = (range: { least: number; most: number }) => (range.least + range.most) / 2_000;
  const unpaced =
    mix.idle / middle(IDLE_THINK_MS) +
    mix.slow / middle(SLOW_MS) +
    (mix.stream * 1_000) / (STREAM.chunks * STREAM.ms);
  const present = PACED.filter(([kind]) => mix[kind] > 0);
  const parts = present.reduce((sum, [, part]) => sum + part, 0);
  const left = Math.max(rate - unpaced, present.length);
  return new Map(
    present.map(([kind, part]) => [kind, (1_000 * mix[kind] * parts) / (left * part)]),
  );
}

function home(kind: 'busy' | 'fresh' | 'idle', pause: Pick<Step, 'everyMs' | 'thinkMs'>): Step {
  return {
    plan: { kind, method: 'GET', path: '/', check: has('shop ') },
    askedMs: 0,
    ...pause,
  };
}

function upload(everyMs: number): Step {
  const id = randomUUID();
  const body = Buffer.alloc(UPLOAD_BYTES, id);
  const sha256 = createHash('sha256').update(body).digest('hex');
  return {
    plan: {
      kind: 'upload',
      method: 'POST',
      path: '/upload',
      headers: { 'x-request-id': id, 'content-type': 'application/octet-stream' },
      body,
      check: has(`{"bytes":${body.length},"sha256":"${sha256}"}`),
    },
    askedMs: 0,
    everyMs,
    thinkMs: 0,
  };
}

function has(text: string): (body: string) => 'ok' | 'wrong' {
  return (body) => (body.includes(text) ? 'ok' : 'wrong');
}

function between(range: { readonly least: number; readonly most: number }): number {
  return range.least + Math.random() * (range.most - range.least);
}

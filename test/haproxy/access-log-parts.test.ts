import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { total } from '../../agent/core/verdict/histogram.ts';
import { ServerBook } from '../../agent/haproxy/access-log/book.ts';
import type { LogLine } from '../../agent/haproxy/access-log/format.ts';
import { LossAccount } from '../../agent/haproxy/access-log/loss.ts';
import { meaningOf } from '../../agent/haproxy/access-log/meaning.ts';
import { FULL_RATE, LineReader, Sampling } from '../../agent/haproxy/access-log/reader.ts';
import { Totals, WAIT_BUCKETS_MS } from '../../agent/haproxy/access-log/totals.ts';

const line = (changes: Partial<LogLine> = {}): LogLine => ({
  backend: 'zdd_shop',
  server: 'r1',
  status: 200,
  waitMs: 12,
  end: '--',
  at: 1_000,
  method: 'GET',
  ...changes,
});

/** As HAProxy 2.6 and 3.0 send it, what follows the data cut off. */
const text = (pid: number, { backend, server, status, waitMs, end, at, method }: LogLine): string =>
  `<134>1 2026-11-27T11:29:38.333591+00:00 - haproxy ${pid} - [zdd-1 ${backend} ${server} ${status} 1 -1 ${waitMs - 1} ${end} ${at} ${method}] 127.0.0.1:50780 [27/Nov/20\n`;

describe('a line', () => {
  it.each([
    ['answered', {}],
    ['answered', { status: 404 }],
    ['failed', { status: 500 }],
    ['failed', { status: 503, end: 'SC' }],
    ['failed', { status: 502, end: 'SH' }],
    ['failed', { status: 200, end: 'SD' }],
    ['failed', { status: 504, end: 'sH' }],
    ['failed', { status: 502, end: 'PH' }],
    ['failed', { status: 503, end: 'D-' }],
    ['failed', { status: -1 }],
    ['aborted', { status: -1, end: 'CH' }],
    ['aborted', { status: 200, end: 'CD' }],
    ['aborted', { status: 408, end: 'cR' }],
    ['websocket', { status: 101, end: 'SD' }],
    ['websocket', { status: 101, end: 'K-' }],
    ['elsewhere', { status: 403, end: 'PR' }],
    ['elsewhere', { status: 404, end: 'LR', server: '<NOSRV>' }],
    ['elsewhere', { status: 503, end: 'SC', server: '<NOSRV>' }],
    ['elsewhere', { status: 200, end: 'K-' }],
  ] as const)('means %s: %o', (meaning, changes) => {
    expect(meaningOf(line(changes))).toBe(meaning);
  });
});

describe('the reader', () => {
  const read = (chunks: readonly string[]) => {
    const lines: LogLine[] = [];
    const counted = new Map<string, { lines: number }>();
    const sink = {
      counter: (worker: number, backend: string) => {
        const count = { lines: 0 };
        counted.set(`${worker} ${backend}`, count);
        return count;
      },
      line: (read: LogLine) => lines.push(read),
    };
    const reader = new LineReader('zdd-1', sink, new Sampling());
    const taken = chunks.map((chunk) => reader.read(Buffer.from(chunk, 'latin1')));
    return { lines, counted, taken };
  };

  it('reads every line whole, however the bytes are cut', () => {
    const word = fc.stringMatching(/^[a-z0-9_.-]{1,40}$/);
    const lines = fc.array(
      fc.record({
        backend: word.map((name) => `zdd_${name}`),
        server: word,
        status: fc.constantFrom(200, 404, 500, -1),
        waitMs: fc.integer({ min: 1, max: 100_000 }),
        end: fc.constantFrom('--', 'SH', 'CD'),
        at: fc.integer({ min: 0, max: 2 ** 45 }),
        method: fc.constantFrom('GET', 'POST'),
      }),
      { minLength: 1, maxLength: 20 },
    );
    fc.assert(
      fc.property(lines, fc.array(fc.nat(4_000)), (wanted, cuts) => {
        const all = wanted.map((each) => text(42, each)).join('');
        const places = [0, ...cuts.filter((at) => at < all.length), all.length].sort(
          (a, b) => a - b,
        );
        const chunks = places.slice(1).map((to, index) => all.slice(places[index], to));
        const { lines: found, counted } = read(chunks);
        expect(found).toEqual(wanted);
        expect([...counted.values()].reduce((sum, { lines: n }) => sum + n, 0)).toBe(wanted.length);
        expect([...counted.keys()].every((key) => key.startsWith('42 zdd_'))).toBe(true);
      }),
    );
  });

  it('passes over what is none of ours, and ends what never ends', () => {
    const noise = '<134>1 2026-11-27T11:29:38.333591+00:00 - haproxy 7 - - Proxy zdd started.\n';
    const foreign = text(7, line()).replace('[zdd-1 ', '[zdd-2 ');
    const { lines, counted } = read([
      noise,
      text(7, line()),
      foreign,
      noise,
      'x\n',
      text(7, line()),
    ]);
    expect(lines.length).toBe(2);
    expect([...counted]).toEqual([['7 zdd_shop', { lines: 2 }]]);
    expect(read(['x'.repeat(100_000)]).taken).toEqual([false]);
  });

  it('does not fall over any bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 2_000 }), (bytes) => {
        expect(() => read([`${bytes}\n${text(1, line())}`])).not.toThrow();
      }),
    );
  });

  it('above 5,000 lines a second reads one of k, so that it never reads more', () => {
    const sampling = new Sampling();
    let now = 10_000;
    sampling.measure(now);
    const second = (lines: number): number => {
      let taken = 0;
      for (let n = 0; n < lines; n += 1) if (sampling.take()) taken += 1;
      now += 1_000;
      sampling.measure(now);
      return taken;
    };
    expect(second(FULL_RATE)).toBe(FULL_RATE);
    expect(sampling.oneOf).toBe(1);
    second(22_000);
    expect(sampling.oneOf).toBe(5);
    expect(second(22_000)).toBe(4_400);
    second(100);
    expect(sampling.oneOf).toBe(1);
  });
});

describe('the book of a server', () => {
  it('puts late lines where they belong, and keeps an hour', () => {
    const book = new ServerBook();
    const start = 100 * 3_600_000;
    for (let at = start; at < start + 2 * 3_600_000; at += 1_000) book.write(line(), at, 1);
    const end = start + 2 * 3_600_000;
    book.write(line({ status: 500, method: 'POST' }), end - 20_000, 1);
    const ticks = book.ticks();
    expect(ticks[0]?.from).toBeGreaterThanOrEqual(end - 3_600_000 - 120_000);
    expect(ticks.length).toBeLessThan(250);
    const late = ticks.find(({ failed }) => failed === 1);
    expect(late?.from).toBe(end - 20_000);
    expect(late?.failures).toEqual(new Map([['500 POST', 1]]));
    // Ticks neither overlap nor lose anything by being put together.
    for (const [index, tick] of ticks.entries()) {
      expect(tick.from).toBeGreaterThanOrEqual(ticks[index - 1]?.to ?? 0);
      expect(tick.requests).toBe((tick.to - tick.from) / 1_000 + tick.failed);
      expect(total(tick.latency)).toBe(tick.requests - tick.failed);
    }
  });
});

describe('the account of lines', () => {
  /** Looks ten times a second; `lines` and `inFlight` by the number of requests so far. */
  const run = (
    seconds: number,
    perSecond: number,
    lines: (requests: number) => number,
    inFlight = 0,
  ): LossAccount => {
    const account = new LossAccount();
    for (let look = 0; look <= 10 * seconds; look += 1) {
      const requests = Math.floor((look * perSecond) / 10);
      account.look({
        at: look * 100,
        worker: 1,
        requests,
        inFlight: Math.min(requests, inFlight),
        lines: lines(requests),
      });
    }
    return account;
  };

  it('finds nothing missing when only what is in flight is', () => {
    expect(run(10, 200, (requests) => Math.max(0, requests - 7), 7).lostSince(0)).toBe(0);
    // Lines that come in bursts, half a second late.
    expect(run(10, 200, (requests) => requests - (requests % 100)).lostSince(0)).toBe(0);
  });

  it('finds the share that is missing', () => {
    const share = run(60, 1_000, (requests) => Math.floor(requests * 0.97)).lostSince(0) ?? 0;
    expect(share).toBeGreaterThan(0.028);
    expect(share).toBeLessThan(0.031);
    expect(run(60, 1_000, () => 0).lostSince(0)).toBeGreaterThan(0.97);
  });

  it('forgets old losses, and outlives a reload', () => {
    const account = run(10, 100, () => 0);
    for (let look = 0; look <= 300; look += 1) {
      const requests = look * 10;
      account.look({ at: 10_100 + look * 100, worker: 2, requests, inFlight: 0, lines: requests });
    }
    expect(account.lostSince(12_000)).toBe(0);
    expect(account.lostSince(0)).toBeGreaterThan(0.2);
    expect(new LossAccount().lostSince(0)).toBeNull();
  });

  it('takes lines older than its first look for what they are', () => {
    const account = new LossAccount();
    account.look({ at: 0, worker: 1, requests: 500, inFlight: 0, lines: 0 });
    for (let look = 1; look < 50; look += 1) {
      const requests = 500 + look;
      account.look({ at: look * 100, worker: 1, requests, inFlight: 0, lines: requests });
    }
    expect(account.lostSince(0)).toBe(0);
  });
});

describe('the totals of a release', () => {
  const write = (totals: Totals, server: string, ...lines: readonly Partial<LogLine>[]): void => {
    const book = new ServerBook([], totals.ofServer('zdd_shop', server));
    for (const changes of lines) book.write(line({ server, ...changes }), 1_000, 1);
  };

  it('are of all its servers, of whichever deployment, and of no other release', () => {
    const totals = new Totals();
    write(totals, 'r4-d9-web-1', {}, { status: 500 });
    write(totals, 'r4-d9-web-2', {}, { status: 101 });
    write(totals, 'r4-d11-web-1', {}, { end: 'CD' });
    write(totals, 'r42-d12-web-1', {});
    expect(totals.ofRelease('shop', 'r4-ab12cd3')).toMatchObject({
      answered: 3,
      failed: 1,
      aborted: 1,
      websockets: 1,
      waitMs: 36,
    });
    expect(totals.ofRelease('blog', 'r4-ab12cd3').answered).toBe(0);
  });

  it('have each answer in one bucket, the first that is long enough', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -1, max: 100_000 }),
        fc.integer({ min: 1, max: 9 }),
        (waitMs, oneOf) => {
          const totals = new Totals();
          const book = new ServerBook([], totals.ofServer('zdd_shop', 'r1'));
          book.write(line({ waitMs }), 1_000, oneOf);
          const { waits, answered } = totals.ofRelease('shop', 'r1');
          const bucket = waits.findIndex((count) => count > 0);
          expect(waits.filter((count) => count > 0)).toEqual([answered]);
          expect(waitMs).toBeLessThanOrEqual(WAIT_BUCKETS_MS[bucket] ?? Number.POSITIVE_INFINITY);
          expect(waitMs).toBeGreaterThan(WAIT_BUCKETS_MS[bucket - 1] ?? Number.NEGATIVE_INFINITY);
        },
      ),
    );
  });

  it('of those that were not counted for lately go when there are very many', () => {
    const totals = new Totals();
    for (let n = 1; n <= 3_000; n += 1) totals.ofServer('zdd_shop', `r${n}-d1-web-1`).last = n;
    write(totals, 'r2999-d1-web-1', {});
    totals.forget(2_000);
    expect(totals.ofRelease('shop', 'r2999-x').answered).toBe(1);
    totals.ofServer('zdd_shop', 'r1-d1-web-1').answered = 7;
    totals.forget(2_000);
    expect(totals.ofRelease('shop', 'r1-x').answered).toBe(7);
  });
});

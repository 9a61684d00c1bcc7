import { describe, expect, it } from 'vitest';
import type { ZddEvent } from '../../agent/protocol/events.ts';
import type { WebSocketClose } from '../../load/websocket.ts';
import { closeJudge, metOutage } from '../../soak/judge.ts';
import { Random } from '../../soak/random.ts';

const base = { seq: 1, app: 'shop', deployment: 1 };
const draining = (release: string, at: number, closingFrom: number): ZddEvent => ({
  ...base,
  type: 'draining',
  at,
  release,
  requests: 0,
  websockets: 1,
  closingFrom,
});
const moved = (at: number, shares: Record<string, number>): ZddEvent => ({
  ...base,
  type: 'traffic_moved',
  at,
  shares,
  ms: 1,
  reloaded: false,
});
const started = (kind: 'deploy' | 'restart' | 'rollback', previous: string): ZddEvent => ({
  ...base,
  type: 'deployment_started',
  at: 0,
  kind,
  previous,
  owner: 'root@vm',
  source: 'shop.tar.gz',
});
const close = (release: string, closedAt: number): WebSocketClose => ({
  startedAt: 0,
  openedAt: 0,
  closedAt,
  release,
  code: 1006,
  reason: '',
  messages: 1,
  byClient: false,
});
const LIMIT = 8;

describe('whose close of a WebSocket it was', () => {
  const events = [
    moved(900, { r1: 0, r2: 100 }),
    draining('r1', 1_000, 4_000),
    started('rollback', 'r2'),
    moved(9_000, { r2: 0, r1: 100 }),
  ];
  const judge = closeJudge(events, [{ fromMs: 20_000, toMs: 21_000 }], [], LIMIT);

  it.each([
    ['before the deadline of its release', 3_999, 'none'],
    ['from the deadline on', 4_000, 'drain'],
    ['when the release had traffic again', 9_001, 'none'],
    ['while HAProxy was dead', 20_500, 'outage'],
  ])('%s', (_, at, cause) => {
    expect(judge(close('r1', at))).toBe(cause);
  });

  it('is told apart for two generations of one release that drain at once', () => {
    const stopped: ZddEvent = { ...base, type: 'release_stopped', at: 4_100, release: 'r1', ms: 1 };
    const two = closeJudge(
      [draining('r1', 1_000, 4_000), draining('r1', 2_000, 6_000), stopped],
      [],
      [],
      LIMIT,
    );
    expect(two(close('r1', 4_050))).toBe('drain');
    expect(two(close('r1', 5_500))).toBe('none');
    expect(two(close('r1', 6_500))).toBe('drain');
  });

  it('is the drain of an earlier generation while the release itself is restarted', () => {
    const restarted = closeJudge(
      [
        draining('r1', 1_000, 4_000),
        started('restart', 'r1'),
        moved(3_500, { r1: 100, r2: 0 }),
        draining('r1', 3_600, 6_500),
      ],
      [],
      [],
      LIMIT,
    );
    expect(restarted(close('r1', 3_999))).toBe('none');
    expect(restarted(close('r1', 4_050))).toBe('drain');
  });

  it('is the drain of what ran before while the same release is deployed afresh', () => {
    const fresh: ZddEvent = { ...base, type: 'phase_changed', at: 0, from: null, to: 'starting' };
    const again = closeJudge(
      [
        draining('r1', 1_000, 4_000),
        started('deploy', 'r2'),
        fresh,
        moved(3_500, { r1: 100, r2: 0 }),
      ],
      [],
      [],
      LIMIT,
    );
    expect(again(close('r1', 4_050))).toBe('drain');
  });

  it('is that of the earlier one too when the one that left last comes back', () => {
    const events = [
      draining('r1', 1_000, 4_000),
      draining('r1', 3_000, 6_000),
      started('rollback', 'r2'),
      moved(3_500, { r1: 100, r2: 0 }),
    ];
    const back = closeJudge(events, [], [], LIMIT);
    expect(back(close('r1', 4_050))).toBe('drain');
    const stopped: ZddEvent = { ...base, type: 'release_stopped', at: 4_100, release: 'r1', ms: 1 };
    const gone = closeJudge([...events, stopped], [], [], LIMIT);
    expect(gone(close('r1', 6_050))).toBe('none');
  });

  it('is nobody of another release', () => {
    expect(judge(close('r2', 5_000))).toBe('none');
  });

  it('is for room only while as many old workers stand as may', () => {
    const looks = (workers: number) => [{ at: 50_000, workers }];
    const cause = (workers: number) =>
      closeJudge([], [], looks(workers), LIMIT)(close('r1', 50_100));
    expect(cause(LIMIT)).toBe('none');
    expect(cause(LIMIT + 1)).toBe('room');
  });
});

describe('a request that was lost', () => {
  it('is apart when it was under way while HAProxy was dead', () => {
    const outages = [{ fromMs: 100, toMs: 200 }];
    const met = (start: number, end: number) => metOutage({ start, end }, outages);
    expect([met(0, 99), met(0, 100), met(150, 160), met(200, 300), met(201, 300)]).toEqual([
      false,
      true,
      true,
      true,
      false,
    ]);
  });
});

describe('chance', () => {
  it('is the same again for the same seed, and another for another', () => {
    const choices = (seed: number): readonly number[] => {
      const random = new Random(seed);
      return Array.from({ length: 50 }, () => random.next());
    };
    expect(choices(7)).toEqual(choices(7));
    expect(choices(7)).not.toEqual(choices(8));
    expect(choices(7).every((one) => one >= 0 && one < 1)).toBe(true);
  });

  it('takes each as often as it is asked to', () => {
    const random = new Random(1);
    const rows = [
      { name: 'a', often: 9 },
      { name: 'b', often: 1 },
    ];
    const rounds = random.rounds(rows);
    const taken = Array.from({ length: 100 }, () => rounds.next().value.name);
    expect(taken.filter((name) => name === 'b').length).toBe(10);
    expect(taken.slice(0, 10)).toContain('b');
    expect(taken.slice(0, 10)).not.toEqual(taken.slice(10, 20));
  });
});

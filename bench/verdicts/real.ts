import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { ZddEvent } from '../../agent/protocol/events.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import { buildRelease } from '../../examples/build-release.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { BAD_STABLE, type Run, type Truth } from './row.ts';

/** Of an analysis: what is undecided then stays so. */
const WITHIN = '60s';
const END_MS = 90_000;

/** Clients that ask for nothing slow: the waits are the app's own. */
const MIX = { busy: 16, idle: 0, fresh: 2, slow: 0, upload: 2, stream: 0 };

/**
 * Runs of one case through a real HAProxy and a real agent, with real processes: a canary of half the
 * users is analysed, then called off.
 */
export async function runReal(truth: Truth, runs: number, signal: AbortSignal): Promise<Run[]> {
  const host = await PrivateHost.start();
  let load: Load | undefined;
  try {
    const errors = truth.stable === 'bad' ? { failAfterRequests: 0, share: BAD_STABLE } : {};
    await push(host, 'v1', errors, { bake: '0s', gates: { error_rate: 1 } });
    // Half of them are on the candidate.
    load = startLoad({ url: host.url, rate: 2 * truth.rps, mix: MIX });
    await untilSeen(host, 2 * Math.max(60, Math.min(600, 10 * truth.rps)), load, signal);
    const done: Run[] = [];
    for (let n = 1; n <= runs; n += 1) {
      signal.throwIfAborted();
      done.push(await once(host, truth, n));
    }
    return done;
  } finally {
    await load?.stop(500);
    await host.remove();
  }
}

/** Until stable has answered enough to be known. */
async function untilSeen(
  host: PrivateHost,
  requests: number,
  load: Load,
  signal: AbortSignal,
): Promise<void> {
  await host.until('stable to be known', 60_000, async () => {
    signal.throwIfAborted();
    return load.snapshot().requests >= requests;
  });
}

async function once(host: PrivateHost, truth: Truth, n: number): Promise<Run> {
  const { trueErrorRate, latencyShift } = truth;
  const since = (await host.events()).at(-1)?.seq ?? 0;
  await push(
    host,
    `v2-${n}`,
    {
      ...(trueErrorRate > 0 ? { failAfterRequests: 0, share: trueErrorRate } : {}),
      ...(latencyShift > 0 ? { delayMs: latencyShift } : {}),
    },
    { strategy: [{ weight: '50%' }, { analyse: { within: WITHIN } }, { gate: 'manual' }] },
  );
  const told = await host.until('a verdict', END_MS, async () => {
    const events = await host.events(since);
    return events.some(({ type }) => type === 'judged' || type === 'paused') && events;
  });
  const run = runOf(told);
  await host.cli(['abort', '--app', 'shop']);
  await host.until('the way back', 60_000, async () => {
    const app = await host.app('shop');
    return app?.deployment === null && app.generations.length === 1;
  });
  return run;
}

function runOf(told: readonly ZddEvent[]): Run {
  const began = told.find(({ type }) => type === 'traffic_moved')?.at ?? 0;
  const judged = told.findLast((event) => event.type === 'judged');
  const sequential = judged?.verdicts.find(({ gate }) => gate === 'sequential');
  const failed = judged?.verdicts.some(({ action }) => action === 'rollback') === true;
  const paused = told.some((event) => event.type === 'paused' && !event.reason.includes('manual'));
  return {
    end: failed ? 'fail' : paused ? 'inconclusive' : 'pass',
    seconds: ((judged?.at ?? 0) - began) / 1_000,
    requests: sequential?.n ?? 0,
  };
}

async function push(
  host: PrivateHost,
  version: string,
  behaviour: Readonly<Record<string, number>>,
  config: Parameters<typeof buildRelease>[1]['config'],
): Promise<void> {
  const folder = join(host.dir, 'artifacts');
  const { path } = await buildRelease(folder, {
    behaviour: { version, ...behaviour },
    config: {
      warm: '0s',
      drain: { websockets: '2s', pace: '500/s' },
      processes: { worker: { alive: '100ms' } },
      smoke: [],
      ...config,
    },
  });
  const detach = version === 'v1' ? [] : ['--detach'];
  const { code, stderr } = await host.cli(['push', path, ...detach]);
  await rm(path, { force: true });
  if (code !== 0) throw new Error(`push failed: ${stderr}\n${stringify(config)}`);
}

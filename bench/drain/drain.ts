import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { PrivateHost } from '../../demo/private-host.ts';
import { buildRelease } from '../../examples/build-release.ts';
import { startLoad } from '../../load/load.ts';
import { type Bench, BenchError, type BenchResult, type BenchSession } from '../bench.ts';
import { table } from '../table.ts';
import { Crowd } from './crowd.ts';
import { type Usage, UsageWatch } from './usage.ts';

/** Requests beside the WebSockets: few, they only must not be lost. */
const RATE = 50;
/** How long the agent is watched before anything is deployed, ms. */
const AT_REST_MS = 5_000;

/** What a drain with very many WebSockets does and costs. */
export const drainBench: Bench = {
  name: 'drain',
  summary: 'the drain of a release with thousands of WebSockets: deadline, pace, cost',
  flags: [
    '--websockets N   how many (5000)',
    '--pace N         closed a second (200)',
    '--deadline S     seconds they may stay (20)',
  ],

  async run(args, session): Promise<BenchResult> {
    const asked = flagsOf(args);
    const host = await PrivateHost.start();
    try {
      return resultOf(asked, await measure(host, asked, session));
    } finally {
      await host.remove();
    }
  },
};

interface Asked {
  readonly websockets: number;
  readonly pace: number;
  readonly deadlineS: number;
}

interface Measured {
  readonly closedEarly: number;
  readonly closed: number;
  /** From the first close to the last, a second. */
  readonly rate: number;
  readonly mostInOneSecond: number;
  readonly mostIn100Ms: number;
  /** WebSockets opened after the switch that the old release got. */
  readonly newOnOld: number;
  readonly newOnNew: number;
  readonly handshakesFailed: number;
  readonly requests: number;
  readonly lost: number;
  readonly agentAtRest: Usage;
  readonly agentWaiting: Usage;
  readonly agentClosing: Usage;
  readonly haproxyWaiting: Usage;
  readonly haproxyClosing: Usage;
}

async function measure(host: PrivateHost, asked: Asked, session: BenchSession): Promise<Measured> {
  const ended = new AbortController();
  const crowd = new Crowd(Number(new URL(host.url).port));
  try {
    session.say('deploying the first release');
    await deploy(host, 'v1', asked);
    const worker = Number(/^Pid: (\d+)/m.exec(await host.ask('show info'))?.[1]);
    const agent = new UsageWatch(host.daemonPid, ended.signal);
    const haproxy = new UsageWatch(worker, ended.signal);
    session.say(`opening ${asked.websockets} WebSockets`);
    await crowd.gather(asked.websockets);
    const load = startLoad({ url: host.url, rate: RATE });
    await load.ready(20_000);
    const restFrom = Date.now();
    await sleep(AT_REST_MS, undefined, { signal: session.signal });
    const restTo = Date.now();
    session.say('deploying the second release');
    const old = (await host.app('shop'))?.live;
    const release = await deploy(host, 'v2', asked);
    const switchedAt = Date.now();
    await host.until('all WebSockets of the old release to be closed', 600_000, async () => {
      session.signal.throwIfAborted();
      await sleep(200, undefined, { signal: session.signal });
      return !crowd.held.some((held) => held.release === old && held.closedAt === null);
    });
    await host.until('all to have come back', 30_000, async () => crowd.open === asked.websockets);
    const report = await load.stop();
    const events = await host.events();
    const draining = events.find((told) => told.type === 'draining' && told.release === old);
    if (draining?.type !== 'draining') throw new BenchError('nobody told of the draining');
    const { closingFrom } = draining;
    const ofOld = crowd.held.filter((held) => held.release === old);
    const closes = ofOld.map(({ closedAt }) => closedAt ?? 0).toSorted((a, b) => a - b);
    const [first = 0, last = 0] = [closes[0], closes.at(-1)];
    return {
      closedEarly: closes.filter((at) => at < closingFrom).length,
      closed: closes.length,
      rate: ((closes.length - 1) * 1_000) / (last - first),
      mostInOneSecond: mostWithin(closes, 1_000),
      mostIn100Ms: mostWithin(closes, 100),
      newOnOld: ofOld.filter(({ openedAt }) => openedAt > switchedAt).length,
      newOnNew: crowd.held.filter((held) => held.release === release).length,
      handshakesFailed: crowd.failed,
      requests: report.requests,
      lost: report.lost,
      agentAtRest: agent.between(restFrom, restTo),
      agentWaiting: agent.between(switchedAt, closingFrom),
      agentClosing: agent.between(first, last),
      haproxyWaiting: haproxy.between(switchedAt, closingFrom),
      haproxyClosing: haproxy.between(first, last),
    };
  } finally {
    crowd.leave();
    ended.abort();
  }
}

/** @returns the release that serves */
async function deploy(host: PrivateHost, version: string, asked: Asked): Promise<string> {
  const { path } = await buildRelease(join(host.dir, 'artifacts'), {
    behaviour: { version },
    config: {
      bake: '500ms',
      warm: '0s',
      drain: { websockets: `${asked.deadlineS}s`, pace: `${asked.pace}/s` },
      processes: { worker: { alive: '100ms' } },
    },
  });
  const { code, stderr } = await host.cli(['push', path]);
  if (code !== 0) throw new BenchError(`the push of ${version} failed: ${stderr}`);
  return (await host.app('shop'))?.live ?? '';
}

/** The most of these moments in any stretch of `ms`. */
function mostWithin(moments: readonly number[], ms: number): number {
  let most = 0;
  let from = 0;
  for (const [index, at] of moments.entries()) {
    while ((moments[from] ?? at) <= at - ms) from += 1;
    most = Math.max(most, index - from + 1);
  }
  return most;
}

function resultOf(asked: Asked, measured: Measured): BenchResult {
  const usage = ({ cpu, maxRssMb }: Usage): [number, number] => [cpu, maxRssMb];
  return {
    text: [
      table(
        [
          'WebSockets',
          'closed early',
          'pace',
          'rate',
          'most in 1 s',
          'most in 100 ms',
          'new on old',
        ],
        [
          [
            measured.closed,
            measured.closedEarly,
            asked.pace,
            measured.rate,
            measured.mostInOneSecond,
            measured.mostIn100Ms,
            measured.newOnOld,
          ],
        ],
      ),
      '',
      table(
        ['process', 'CPU %', 'RSS MB'],
        [
          ['agent at rest', ...usage(measured.agentAtRest)],
          ['agent, waiting for the deadline', ...usage(measured.agentWaiting)],
          ['agent, closing', ...usage(measured.agentClosing)],
          ['HAProxy, waiting for the deadline', ...usage(measured.haproxyWaiting)],
          ['HAProxy, closing', ...usage(measured.haproxyClosing)],
        ],
      ),
      '',
      `${measured.newOnNew} came back to the new release, ${measured.handshakesFailed} handshakes failed; ` +
        `${measured.requests} requests beside them, ${measured.lost} lost`,
    ].join('\n'),
    json: { schemaVersion: 1, ...asked, ...measured, at: new Date().toISOString() },
  };
}

function flagsOf(args: readonly string[]): Asked {
  const { values } = parseArgs({
    args: [...args],
    options: {
      websockets: { type: 'string', default: '5000' },
      pace: { type: 'string', default: '200' },
      deadline: { type: 'string', default: '20' },
    },
  });
  const asked = {
    websockets: Number(values.websockets),
    pace: Number(values.pace),
    deadlineS: Number(values.deadline),
  };
  const whole = Object.values(asked).every((value) => Number.isInteger(value) && value > 0);
  if (!whole) throw new BenchError('expected whole numbers', ['npm run bench -- drain']);
  return asked;
}

import { get } from 'node:http';
import { type Processes, parseProcesses } from '../agent/haproxy/tables.ts';
import type { PrivateHost } from '../demo/private-host.ts';
import { now } from '../load/outcome.ts';
import type { Random } from './random.ts';

/** How long HAProxy may be away after it was killed, ms: the agent looks four times a second. */
const BACK_MS = 20_000;

/** A stretch of time, ms since the epoch, in which nobody could be served. */
export interface Outage {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Something that befalls the host, at any moment. A new kind is one more row. */
export interface Disturbance {
  readonly name: 'reload' | 'haproxyKill' | 'agentKill';
  readonly often: number;
  /** @returns when nobody could be served, if there was such a time */
  run(host: PrivateHost, random: Random): Promise<Outage | undefined>;
}

export const DISTURBANCES: readonly Disturbance[] = [
  {
    name: 'reload',
    often: 4,
    async run(host) {
      process.kill((await processesOf(host)).master, 'SIGUSR2');
      return undefined;
    },
  },
  {
    name: 'haproxyKill',
    often: 2,
    async run(host, random) {
      const { master, current } = await processesOf(host);
      const fromMs = now();
      process.kill(random.oneOf([master, current?.pid ?? master]), 'SIGKILL');
      // One of them takes the other along, a moment later: until then it still answers.
      await host.until('HAProxy to be back', BACK_MS, async () => {
        const back = await processesOf(host).catch(() => undefined);
        return back !== undefined && back.master !== master && (await answers(host.url));
      });
      return { fromMs, toMs: now() };
    },
  },
  {
    name: 'agentKill',
    often: 2,
    async run(host) {
      await host.stopDaemon('SIGKILL');
      await host.startDaemon();
      return undefined;
    },
  },
];

/** The process table of its HAProxy. */
export async function processesOf(host: PrivateHost): Promise<Processes> {
  return parseProcesses(await host.askMaster('show proc'));
}

/** Whether the app answers over a connection of its own. */
function answers(url: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const request = get(url, { agent: false, timeout: 1_000 }, (response) => {
    response.resume();
    resolve(response.statusCode === 200);
  });
  request.on('timeout', () => request.destroy());
  request.on('error', () => resolve(false));
  return promise;
}

import { join } from 'node:path';
import { PrivateHost } from '../../demo/private-host.ts';
import { buildRelease } from '../../examples/build-release.ts';
import { now } from '../../load/outcome.ts';
import { BenchError } from '../bench.ts';
import { INSTANCES } from './stage.ts';
import type { RunningTool, Switched, Tool } from './tool.ts';

/**
 * Ours: the real daemon, a real HAProxy, the real CLI. Everything is at its default but the bake,
 * during which nothing moves: old releases stay warm and keep their WebSockets.
 */
export const zddAgent: Tool = {
  name: 'zdd-agent',
  prepare: async () => {},

  async start(): Promise<RunningTool> {
    const host = await PrivateHost.start();
    const push = async (version: string): Promise<Switched> => {
      const { path } = await buildRelease(join(host.dir, 'artifacts'), {
        behaviour: { version },
        config: { bake: '0s', processes: { web: { instances: INSTANCES }, worker: null } },
      });
      const since = (await host.events()).at(-1)?.seq ?? 0;
      const beganAt = now();
      const { code, stderr } = await host.cli(['push', path]);
      const endedAt = now();
      if (code !== 0) throw new BenchError(`zdd-agent push ended with ${code}: ${stderr}`);
      const told = await host.events(since);
      const switching = told.find(
        (event) => event.type === 'phase_changed' && event.to === 'switching',
      );
      const ended = told.find((event) => event.type === 'deployment_ended');
      if (switching === undefined || ended?.type !== 'deployment_ended') {
        throw new BenchError(`${version} was pushed, but nothing moved`);
      }
      const release = ended.receipt.release ?? '';
      return { release, beganAt, commandAt: switching.at, stopAt: endedAt, endedAt };
    };
    await push('v1');
    return {
      url: host.url,
      switchTo: push,
      [Symbol.asyncDispose]: () => host.remove(),
    };
  },
};

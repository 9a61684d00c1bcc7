import { now } from '../../load/outcome.ts';
import { HOLD_MS, INSTANCES, type Program, type Stage } from './stage.ts';
import type { Switched } from './tool.ts';

/** The instances of one release, each on its port, as an ordinary user of a plain proxy runs them. */
export interface Instances {
  readonly ports: readonly number[];
  readonly programs: readonly Program[];
}

export async function startInstances(stage: Stage, version: string): Promise<Instances> {
  const started = await Promise.all(
    Array.from({ length: INSTANCES }, async () => {
      const port = await stage.freePort();
      return { port, program: await stage.startApp(version, port) };
    }),
  );
  return {
    ports: started.map(({ port }) => port),
    programs: started.map(({ program }) => program),
  };
}

/**
 * Blue-green before a plain proxy: start the new ones, wait until they are healthy, tell the proxy,
 * wait a little, stop the old ones by SIGTERM.
 */
export async function blueGreen(
  stage: Stage,
  version: string,
  old: Instances,
  moveTraffic: (to: readonly number[]) => Promise<void>,
): Promise<{ readonly switched: Switched; readonly serving: Instances }> {
  const beganAt = now();
  const serving = await startInstances(stage, version);
  const commandAt = now();
  await moveTraffic(serving.ports);
  await stage.wait(HOLD_MS);
  const stopAt = now();
  await Promise.all(old.programs.map((program) => program.stop()));
  return {
    switched: { release: version, beganAt, commandAt, stopAt, endedAt: now() },
    serving,
  };
}

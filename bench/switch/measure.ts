import { startLoad } from '../../load/load.ts';
import { type Row, rowOf, type Seen } from './row.ts';
import type { Stage } from './stage.ts';
import type { Tool } from './tool.ts';

/** How much load every tool gets. */
export const LOAD = { rate: 600, websockets: 100, wsIntervalMs: 500 } as const;

const READY_MS = 15_000;
/** Steady traffic before the first switch and after each: the "far" that "near" is compared with. */
const STEADY_MS = 1_500;

/** Switches the example app `switches` times under load and counts what that did. */
export async function measure(tool: Tool, stage: Stage, switches: number): Promise<Row> {
  await using running = await tool.start(stage);
  await using load = startLoad({
    url: running.url,
    ...(running.hostHeader === undefined ? {} : { hostHeader: running.hostHeader }),
    ...LOAD,
  });
  await load.ready(READY_MS);
  await stage.wait(STEADY_MS);
  const seen: Seen[] = [];
  for (let n = 1; n <= switches; n += 1) {
    const done = await running.switchTo(`v${n + 1}`);
    const firstAnswerAt = await load.firstAnswerFrom(done.release, {
      sinceMs: done.beganAt,
      timeoutMs: READY_MS,
    });
    seen.push({ ...done, firstAnswerAt });
    await stage.wait(STEADY_MS);
  }
  const report = await load.stop();
  return rowOf(tool.name, { ...load, report }, seen);
}

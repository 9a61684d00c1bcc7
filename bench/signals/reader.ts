/**
 * The reader of the access log in a process of its own, so that its cost can be told apart:
 * `reader.ts FOLDER`. It prints its place at the start, and what it has seen and used at SIGTERM.
 */
import { createAccessLog } from '../../agent/haproxy/access-log/access-log.ts';

const [folder = ''] = process.argv.slice(2);
const log = createAccessLog(
  { workDir: folder, configPath: `${folder}/haproxy.cfg`, log: () => undefined },
  Date.now,
);
await log.open();
const alive = setInterval(() => undefined, 60_000);
const idle = process.cpuUsage();
process.on('SIGTERM', () => {
  const { user, system } = process.cpuUsage(idle);
  const ticks = log.signals('shop', ['r1'], 0).servers.get('r1') ?? [];
  const judged = ticks.reduce((sum, { requests }) => sum + requests, 0);
  const oneOf = Math.max(1, ...ticks.map((tick) => tick.oneOf));
  const used = { cpuMs: (user + system) / 1_000, judged, lines: log.lines('shop'), oneOf };
  process.stdout.write(`used ${JSON.stringify(used)}\n`, () => process.exit(0));
  clearInterval(alive);
});
process.stdout.write(`place ${JSON.stringify(log.place())}\n`);

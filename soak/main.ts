import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { type SoakResult, soak } from './soak.ts';

const USAGE = `npm run soak -- [--minutes N] [--seed S] [--switch runtime|reload] [--json]

Random deploys, rollbacks, restarts, scales and routes, reloads, kills of HAProxy and of the agent, on a
private host under mixed load. Ends with 1 when a request was lost or a bound was broken.
`;

/** Of the seed are the choices; how they meet in time is the machine's. */
const SEEDS = 1_000_000;

async function main(signal: AbortSignal): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '2' },
      seed: { type: 'string', default: String(randomInt(SEEDS)) },
      switch: { type: 'string', default: 'runtime' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const [minutes, seed] = [Number(values.minutes), Number(values.seed)];
  const by = values.switch;
  const right = minutes > 0 && Number.isSafeInteger(seed) && (by === 'runtime' || by === 'reload');
  if (values.help || !right) {
    (values.help ? process.stdout : process.stderr).write(USAGE);
    return values.help ? 0 : 2;
  }
  const say = (line: string): void => {
    process.stderr.write(`${line}\n`);
  };
  say(
    `soak of ${minutes} min by ${by}; again: npm run soak -- --minutes ${minutes} --seed ${seed} --switch ${by}`,
  );
  const result = await soak({ minutes, seed, switchBy: by, say, signal });
  for (const what of result.broken) say(`BROKEN: ${what}`);
  console.log(values.json ? JSON.stringify(result) : textOf(result));
  return result.broken.length === 0 ? 0 : 1;
}

function textOf(result: SoakResult): string {
  const { broken, changes, ...figures } = result;
  return Object.entries({ ...figures, ...changes })
    .map(([name, value]) => `${name.padEnd(16)} ${value}`)
    .join('\n');
}

const interrupted = new AbortController();
const interrupt = (): void => interrupted.abort(new Error('interrupted'));
process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
try {
  process.exitCode = await main(interrupted.signal);
} catch (error) {
  if (!interrupted.signal.aborted) throw error;
  process.stderr.write('interrupted\n');
  process.exitCode = 130;
}

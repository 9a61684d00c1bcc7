import { type Bench, BenchError, type BenchSession } from './bench.ts';
import { drainBench } from './drain/drain.ts';
import { pushBench } from './push/push.ts';
import { scaleBench } from './scale/scale.ts';
import { shadowBench } from './shadow/shadow.ts';
import { signalsBench } from './signals/signals.ts';
import { switchBench } from './switch/switch.ts';
import { verdictsBench } from './verdicts/verdicts.ts';

const BENCHES: readonly Bench[] = [
  switchBench,
  pushBench,
  drainBench,
  scaleBench,
  signalsBench,
  verdictsBench,
  shadowBench,
];

function list(): string {
  const lines = BENCHES.flatMap((bench) => [
    `  ${bench.name.padEnd(10)} ${bench.summary}`,
    ...bench.flags.map((flag) => `  ${''.padEnd(10)}   ${flag}`),
  ]);
  return [
    'npm run bench -- NAME            one benchmark',
    'npm run bench -- NAME --json     and its numbers as the last line',
    '',
    ...lines,
  ].join('\n');
}

async function main(args: readonly string[], signal: AbortSignal): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === '-h' || name === '--help') {
    console.log(list());
    return 0;
  }
  const bench = BENCHES.find((one) => one.name === name);
  if (bench === undefined)
    throw new BenchError(`no benchmark is called ${name}`, ['npm run bench']);

  const session: BenchSession = {
    say: (line) => process.stderr.write(`${line}\n`),
    signal,
  };
  const result = await bench.run(
    rest.filter((arg) => arg !== '--json'),
    session,
  );
  console.log(result.text);
  if (rest.includes('--json')) console.log(JSON.stringify(result.json));
  return 0;
}

const interrupted = new AbortController();
const interrupt = (): void => interrupted.abort();
process.once('SIGINT', interrupt).once('SIGTERM', interrupt);

try {
  process.exitCode = await main(process.argv.slice(2), interrupted.signal);
} catch (error) {
  process.exitCode = 1;
  if (interrupted.signal.aborted) {
    console.error('interrupted');
    process.exit(130);
  }
  if (!(error instanceof BenchError)) throw error;
  console.error(`Error: ${error.message}`);
  error.tries.forEach((command, index) => {
    console.error(`${index === 0 ? 'Try: ' : '     '}${command}`);
  });
}

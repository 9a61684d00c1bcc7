import { sumUp } from '../vitest-run.ts';
import { runOnHosts, whyNoHosts } from './lab/run.ts';

/** `npm run test:vps [FILES]`: the tests on real hosts alone. */

const why = whyNoHosts();
if (why === null) {
  const counts = runOnHosts(process.argv.slice(2));
  process.stdout.write(sumUp([counts]));
  process.exitCode = counts.ok ? 0 : 1;
} else {
  process.stderr.write(`NOT RUN: ${why}\n`);
  process.exitCode = 1;
}

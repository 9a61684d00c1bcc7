/**
 * A daemon-like process for tests: `host.ts STATE MODE SPEC`. It says `started` and lives on until it
 * is killed, or kills itself at the very point that MODE names.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { environmentOf } from '../../agent/runner/process/environment.ts';
import { installHolderScript } from '../../agent/runner/process/holder-script.ts';
import { DEFAULT_BACKOFF, launchHolder } from '../../agent/runner/process/launch.ts';
import { bootId } from '../../agent/runner/process/proc.ts';
import { createProcessRunner } from '../../agent/runner/process/process-runner.ts';
import { lifePath, slotFolder, writeRecord } from '../../agent/runner/process/record.ts';
import type { InstanceSpec } from '../../agent/runner/runner.ts';

const [stateDir = '', mode = '', specPath = ''] = process.argv.slice(2);
const PATH = '/usr/local/bin:/usr/bin:/bin';
const spec: InstanceSpec = JSON.parse(readFileSync(specPath, 'utf8'));
const generation = { token: 'from-the-host', bootId: bootId(), restarts: 0 };

switch (mode) {
  case 'start':
  case 'stop': {
    const runner = createProcessRunner({
      stateDir,
      ports: { from: 21_000, to: 21_999 },
      path: PATH,
      backoff: { firstMs: 100, maxMs: 1_000, steadyMs: 60_000 },
      log: () => {},
    });
    const { signal } = new AbortController();
    process.stdout.write('starting\n');
    await runner.adopt();
    await runner.start(spec, signal);
    process.stdout.write('started\n');
    if (mode === 'stop') void runner.stop(spec.slot, 2_000, signal);
    setInterval(() => {}, 1_000);
    break;
  }
  case 'die-before-spawn':
    await writeRecord(stateDir, { spec, intent: { kind: 'run', generation } });
    process.kill(process.pid, 'SIGKILL');
    break;
  case 'die-after-spawn': {
    await writeRecord(stateDir, { spec, intent: { kind: 'run', generation } });
    await launch();
    break;
  }
  case 'launch-only':
    void launch().catch(() => {});
    break;
  default:
    throw new Error(`unknown mode ${mode}`);
}

/** The real launch, killed in the same turn in which it has spawned. */
async function launch(): Promise<void> {
  const script = await installHolderScript(stateDir);
  const folder = slotFolder(stateDir, spec.slot);
  const out = openSync(join(folder, 'out'), 'a');
  const err = openSync(join(folder, 'err'), 'a');
  void launchHolder({
    spec,
    script,
    life: lifePath(folder, generation),
    environment: environmentOf(spec, PATH),
    backoff: DEFAULT_BACKOFF,
    out,
    err,
  });
  if (mode === 'die-after-spawn') process.kill(process.pid, 'SIGKILL');
  closeSync(out);
  closeSync(err);
}

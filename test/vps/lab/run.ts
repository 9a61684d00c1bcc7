import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { type Counts, runVitest } from '../../vitest-run.ts';
import { DISTRIBUTIONS } from './host.ts';

const SCRIPT = join(import.meta.dirname, 'lab.sh');
const PACKAGE = join(import.meta.dirname, '..', '..', '..', 'build', 'main.ts');
const TOOLS = ['systemd-nspawn', 'debootstrap', 'dpkg-scanpackages', 'ip', 'ssh', 'nsenter'];

/** Why hosts cannot be had on this machine; null when they can. */
export function whyNoHosts(): string | null {
  if (process.getuid?.() !== 0) return 'they need root';
  const missing = TOOLS.filter(
    (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0,
  );
  if (missing.length > 0) return `missing from this machine: ${missing.join(', ')}`;
  const probe = spawnSync('unshare', ['--mount', '--net', '--pid', '--fork', 'true']);
  return probe.status === 0 ? null : 'this machine allows no containers (unshare fails)';
}

/** Builds the package and the images of the hosts, then runs the tests in the lab's network. */
export function runOnHosts(files: readonly string[]): Counts {
  const failures = ['FAILED test/vps: no host could be made; the reason stands above'];
  const failed: Counts = { passed: 0, failed: 1, skipped: 0, ok: false, failures };
  // Hosts of a run that was killed.
  if (!inherit('bash', [SCRIPT, 'down'])) return failed;
  if (!inherit(process.execPath, [PACKAGE])) return failed;
  for (const distribution of DISTRIBUTIONS) {
    if (!inherit('bash', [SCRIPT, 'base', distribution])) return failed;
  }
  try {
    return runVitest(['--config', 'vitest.vps.config.ts', ...files], ['bash', SCRIPT, 'net']);
  } finally {
    inherit('bash', [SCRIPT, 'down']);
  }
}

function inherit(program: string, args: readonly string[]): boolean {
  const { status } = spawnSync(program, args, {
    stdio: 'inherit',
    env: { ...process.env, ZDD_LAB_NODE: process.execPath },
  });
  return status === 0;
}

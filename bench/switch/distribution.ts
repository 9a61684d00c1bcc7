import { access, constants, readFile, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BenchError } from '../bench.ts';
import type { Stage } from './stage.ts';

const PEERS = fileURLToPath(new URL('../peers', import.meta.url));
/** Its exit code 101 keeps Debian's packages from starting their service while it is installed. */
const POLICY = '/usr/sbin/policy-rc.d';

/**
 * Makes sure that a program of the distribution is there; installs it when this is root.
 * @throws BenchError saying what to type.
 */
export async function ensureInstalled(stage: Stage, name: 'nginx' | 'caddy'): Promise<void> {
  if (await isOnPath(name)) return;
  if (process.getuid?.() !== 0) {
    throw new BenchError(`${name} is not installed`, [`sudo apt-get install ${name}`]);
  }
  stage.say(
    `installs ${name} of the distribution (apt-get install ${name}), its service stays off`,
  );
  const removePolicy = await keepServicesOff();
  try {
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    await stage.run('apt-get', ['update', '-q'], { env }).succeeded();
    const args = ['install', '-y', '-q', '--no-install-recommends', name];
    await stage.run('apt-get', args, { env }).succeeded();
  } finally {
    await removePolicy();
  }
}

/** Installs the packages of bench/peers, as their lock file says. */
export async function ensurePeers(stage: Stage): Promise<void> {
  const lock: unknown = JSON.parse(await readFile(join(PEERS, 'package.json'), 'utf8'));
  const installed = await readFile(join(PEERS, 'node_modules/pm2/package.json'), 'utf8').catch(
    () => undefined,
  );
  if (installed !== undefined && versionOf(JSON.parse(installed)) === wantedPm2(lock)) return;
  stage.say('installs pm2 into bench/peers (npm ci --prefix bench/peers)');
  const args = ['ci', '--prefix', PEERS, '--no-audit', '--no-fund'];
  await stage.run('npm', args).succeeded();
}

async function isOnPath(name: string): Promise<boolean> {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const found = await Promise.all(
    folders.map((folder) =>
      access(join(folder, name), constants.X_OK).then(
        () => true,
        () => false,
      ),
    ),
  );
  return found.includes(true);
}

async function keepServicesOff(): Promise<() => Promise<void>> {
  try {
    await writeFile(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' });
  } catch {
    // The machine has a policy of its own: that one counts.
    return async () => {};
  }
  return () => rm(POLICY, { force: true });
}

function versionOf(manifest: unknown): unknown {
  return field(manifest, 'version');
}

function wantedPm2(manifest: unknown): unknown {
  return field(field(manifest, 'dependencies'), 'pm2');
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import manifest from '../package.json' with { type: 'json' };
import { compileAddon } from './addon.ts';
import { bundle } from './bundle.ts';
import { packDeb } from './deb.ts';
import { layout } from './layout.ts';
import { thirdPartyLicenses } from './licenses.ts';
import { dateOf, filesBelow, fingerprint } from './sources.ts';
import { type MadeFiles, stage } from './stage.ts';
import { packTarball } from './tarball.ts';

/** `npm run package`: everything in dist/, unless it was made of the same sources before. */

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const name = `zdd-agent-${manifest.version}-linux-x64`;
const tarball = `${name}.tar.gz`;
const deb = `zdd-agent_${manifest.version}_amd64.deb`;

const date = dateOf(root);
const sources = await fingerprint(root, date);
if ((await madeOf()) === sources) say(`dist/ is already made of these sources`);
else await make();

/** The fingerprint of the sources that dist/ was made of; null when it was not made whole. */
async function madeOf(): Promise<string | null> {
  return await readFile(join(dist, '.sources'), 'utf8').catch(() => null);
}

async function make(): Promise<void> {
  await mkdir(dist, { recursive: true });
  const work = await mkdtemp(join(dist, '.build-'));
  try {
    const placed = layout(await filesBelow(join(root, 'templates')));
    await stage(root, join(work, name), placed, await makeFiles(work));
    await packTarball(work, name, date, join(work, tarball));
    await mkdir(join(work, 'deb'));
    await rename(join(work, name, 'usr'), join(work, 'deb', 'usr'));
    await packDeb(
      join(work, 'deb'),
      join(root, 'templates/deb'),
      manifest.version,
      date,
      join(work, deb),
    );
    // Whoever reads dist/ meanwhile sees whole files, and no fingerprint that is not theirs.
    await rm(join(dist, '.sources'), { force: true });
    for (const file of [tarball, deb]) await rename(join(work, file), join(dist, file));
    await writeFile(join(work, '.sources'), sources);
    await rename(join(work, '.sources'), join(dist, '.sources'));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  say(`dist/${tarball}\ndist/${deb}`);
}

async function makeFiles(work: string): Promise<MadeFiles> {
  const [cli, daemon, addon] = await Promise.all([
    bundle(root, 'cli/main.ts'),
    bundle(root, 'agent/main.ts'),
    compileAddon(root, work),
  ]);
  return {
    'zdd-agent.mjs': cli.code,
    'zdd-agentd.mjs': daemon.code,
    'notify.node': addon,
    VERSION: `${manifest.version}\n`,
    'THIRD-PARTY': await thirdPartyLicenses(root, [...cli.packages, ...daemon.packages]),
  };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

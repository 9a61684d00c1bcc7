import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import manifest from '../package.json' with { type: 'json' };
import { compileAddon } from './addon.ts';
import { bundle } from './bundle.ts';
import { packDeb } from './deb.ts';
import { isMade, openWork, publish, removeAll } from './dist.ts';
import { layout } from './layout.ts';
import { thirdPartyLicenses } from './licenses.ts';
import { writePage } from './man/page.ts';
import { ZDD_AGENT } from './man/zdd-agent.ts';
import { ZDD_AGENTD } from './man/zdd-agentd.ts';
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
if (await isMade(dist, [tarball, deb], sources)) {
  say('dist/ is already made of these sources');
} else {
  const work = await openWork(dist);
  try {
    await make(work);
    await publish(dist, work, [tarball, deb], sources);
  } finally {
    await removeAll(work);
  }
  say(`dist/${tarball}\ndist/${deb}`);
}

async function make(work: string): Promise<void> {
  const files = await Promise.all(['docs', 'templates'].map((each) => filesBelow(root, each)));
  const tree = join(work, name);
  await stage(root, tree, layout(files.flat()), await makeFiles(work));
  await packTarball(work, name, date, join(work, tarball));
  // The .deb has the same `usr/`, without what lies beside it in the tarball.
  const debTree = join(work, 'deb');
  await mkdir(debTree);
  await rename(join(tree, 'usr'), join(debTree, 'usr'));
  const templates = join(root, 'templates/deb');
  await packDeb(debTree, templates, manifest.version, date, join(work, deb));
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
    'zdd-agent.1.gz': compressed(writePage(ZDD_AGENT, manifest.version, date)),
    'zdd-agentd.8.gz': compressed(writePage(ZDD_AGENTD, manifest.version, date)),
    VERSION: `${manifest.version}\n`,
    'THIRD-PARTY': await thirdPartyLicenses(root, [...cli.packages, ...daemon.packages]),
  };
}

/** What Node writes as gzip has neither a name nor a time in its header. */
function compressed(text: string): Uint8Array {
  return gzipSync(text, { level: 9 });
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

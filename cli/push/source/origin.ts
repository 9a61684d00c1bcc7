import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

export { ownerOf } from '../../owner.ts';

const run = promisify(execFile);
/** Looking at a huge working tree may take longer; then its state is not told, ms. */
const GIT_MS = 2_000;

/** `./ (git 9f3c1e2, clean)`; only the path where there is no git or no repository. */
export async function describeOrigin(typed: string, folder: string): Promise<string> {
  const shown = typed === '.' ? './' : typed;
  const commit = isInRepository(folder) ? await describeCommit(folder) : null;
  return (commit === null ? shown : `${shown} (${commit})`).slice(0, 300);
}

/** Without one there is no need to start git, which takes longer than to look. */
function isInRepository(folder: string): boolean {
  if (process.env['GIT_DIR'] !== undefined) return true;
  let at = resolve(folder);
  while (!existsSync(join(at, '.git'))) {
    const above = dirname(at);
    if (above === at) return false;
    at = above;
  }
  return true;
}

/** Null when git cannot tell. */
async function describeCommit(folder: string): Promise<string | null> {
  const git = async (...args: string[]): Promise<string | null> => {
    const env = { ...process.env, GIT_OPTIONAL_LOCKS: '0' };
    const ran = run('git', ['-C', folder, ...args], { timeout: GIT_MS, env });
    return await ran.then(
      ({ stdout }) => stdout.trim(),
      () => null,
    );
  };
  const [commit, changes] = await Promise.all([
    git('rev-parse', '--short', 'HEAD'),
    git('status', '--porcelain', '--', '.'),
  ]);
  if (commit === null) return null;
  const state = changes === null ? '' : changes === '' ? ', clean' : ', with changes';
  return `git ${commit}${state}`;
}

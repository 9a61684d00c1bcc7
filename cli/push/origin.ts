import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export { ownerOf } from '../owner.ts';

const run = promisify(execFile);
/** Looking at a huge working tree may take longer; then its state is not told, ms. */
const GIT_MS = 2_000;

/** `./ (git 9f3c1e2, clean)`; only the path where there is no git or no repository. */
export async function describeOrigin(typed: string, folder: string): Promise<string> {
  const shown = typed === '.' ? './' : typed;
  const git = async (...args: string[]) => {
    const { stdout } = await run('git', ['-C', folder, ...args], {
      timeout: GIT_MS,
      env: { ...process.env, GIT_OPTIONAL_LOCKS: '0' },
    });
    return stdout.trim();
  };
  try {
    const [commit, changes] = await Promise.all([
      git('rev-parse', '--short', 'HEAD'),
      git('status', '--porcelain', '--', '.').catch(() => null),
    ]);
    const state = changes === null ? '' : changes === '' ? ', clean' : ', with changes';
    return `${shown} (git ${commit}${state})`.slice(0, 300);
  } catch {
    return shown.slice(0, 300);
  }
}

import type { Proposal } from './proposal.ts';

/** What no release needs, whatever it is made with. */
const USUAL = ['.env', '.env.*', '!.env.example', '*.log', '.DS_Store', '.idea/', '.vscode/'];
const CI = ['.github/', '.gitlab-ci.yml', 'Dockerfile', 'docker-compose*.yml', 'compose*.yaml'];

/** The proposed `.zddignore`. */
export function zddIgnore(proposal: Proposal): string {
  const usual = new Set([...USUAL, ...CI]);
  const local = proposal.shared
    .filter(({ value, travels }) => !travels && !usual.has(value))
    .map(({ value }) => `/${value}`);
  return [
    '# What `zdd-agent push` leaves at home, in the syntax of .gitignore (.git always stays).',
    '# Not what .gitignore names: built files and installed packages have to travel.',
    '',
    '# Secrets and leftovers.',
    ...USUAL,
    '',
    '# Only for building and testing.',
    ...CI,
    ...proposal.ignore.filter((each) => !usual.has(each)),
    ...(local.length === 0
      ? []
      : ['', '# Of this machine: the host has its own (shared in zdd.yaml).', ...local]),
    '',
  ].join('\n');
}

import type { Finding } from '../../agent/protocol/api.ts';

/**
 * What to know when the CLI and an agent are not of one version: they understand each other as long
 * as their API is the same, but the older one does not know everything.
 */
export function skewOf(cli: string, agent: string): Finding[] {
  if (cli === agent) return [];
  const older = compareVersions(cli, agent) < 0 ? 'this CLI' : 'the agent';
  return [
    {
      level: 'notice',
      code: 'version_skew',
      what: `agent ${agent}, this CLI ${cli}: update ${older}`,
      tries: [],
    },
  ];
}

/** By its numbers, then as text. */
function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

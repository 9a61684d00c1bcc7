import type { Command } from '../command.ts';

export const push: Command = {
  name: 'push',
  summary: 'send a folder or a tarball and make it live',
  description:
    'Sends what the host does not have yet of a folder (without .git and what .zddignore names) or of a commit, and watches the deployment to its end. A ready tarball is sent as it is. Traffic moves only once the new release is healthy; if it fails, the old one serves on.',
  examples: [
    ['zdd-agent push', 'this folder'],
    ['zdd-agent push dist/shop.tar.gz', 'a tarball that CI has built'],
    ['zdd-agent push git:v1.4', 'a commit as it stands in the repository'],
    ['zdd-agent push -e prod --accept-new', 'to a host for the first time'],
    ['zdd-agent push --dry-run', 'what would be sent and done'],
    ['zdd-agent push --wait=10m --detach', 'queue behind a running one, then let go'],
  ],
  args: [{ name: '[PATH]', description: 'a folder, a tarball or git:REVISION (default: .)' }],
  options: [
    { flags: '--dry-run', description: 'show what would be sent and done, send nothing' },
    { flags: '--whole', description: 'send everything, also what the host has already' },
    { flags: '--detach', description: 'return once the deployment has started' },
    { flags: '--wait [time]', description: 'wait while another deployment runs (default: 10m)' },
    {
      flags: '--strategy <how>',
      description: "blue-green, rolling, canary, or steps in YAML: '[weight: 5%, hold: 2m]'",
    },
    { flags: '--bake <time>', description: 'how long the new release is watched under traffic' },
    { flags: '--probe-timeout <time>', description: 'how long it has to become healthy' },
  ],
  async run(input, context) {
    const [waitMs, bakeMs, probeTimeoutMs] = await Promise.all([
      input.optionalDuration('wait', 600_000),
      input.duration('bake'),
      input.duration('probe-timeout'),
    ]);
    const { push: run } = await import('../push/push.ts');
    return run(context, {
      path: input.arg(0) ?? '.',
      dryRun: input.flag('dry-run'),
      whole: input.flag('whole'),
      detach: input.flag('detach'),
      waitMs,
      bakeMs,
      probeTimeoutMs,
      strategy: input.text('strategy'),
    });
  },
};

import type { Command } from '../command.ts';

export const init: Command = {
  name: 'init',
  summary: 'look at a project and write its zdd.yaml',
  description:
    'Looks at the files of a project (Node.js, Python, Ruby, Go, PHP, a Procfile, a static site) and writes a commented zdd.yaml and .zddignore, with the reason of each guess and what to look at. Runs nothing and asks no host. On a terminal it asks for the name of the app and where to push.',
  examples: [
    ['zdd-agent init', 'the project in this folder'],
    ['zdd-agent init --dry-run', 'only show what it would write'],
    ['zdd-agent init --host deploy@web1.example.com', 'and where to push'],
    ["zdd-agent init --run './serve -p $PORT'", 'tell how the app starts'],
  ],
  args: [{ name: '[PATH]', description: 'the folder of the project (default: .)' }],
  options: [
    { flags: '--run <line>', description: 'the line that starts the web process' },
    { flags: '--dry-run', description: 'print the files, write nothing' },
    { flags: '--force', description: 'replace a zdd.yaml that is there' },
    { flags: '-y, --yes', description: 'ask nothing' },
  ],
  async run(input, context) {
    const { init: run } = await import('../init/init.ts');
    return run(context, {
      path: input.arg(0) ?? '.',
      run: input.text('run'),
      dryRun: input.flag('dry-run'),
      force: input.flag('force'),
      yes: input.flag('yes'),
    });
  },
};

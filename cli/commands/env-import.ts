import type { Command } from '../command.ts';
import { RESTART_OPTIONS } from './env-set.ts';

export const envImport: Command = {
  name: 'env import',
  summary: 'keep all variables of a .env file',
  description:
    'Keeps all variables of a file for an app, beside those that are there: lines of NAME=value, with \'...\' taken as it stands and "..." with \\n \\r \\t \\" \\\\ \\$. Nothing is expanded. A line that cannot be read, a name twice or an unclear backslash is refused with its number, and then nothing is changed. docs/env.md has the rules.',
  examples: [
    ['zdd-agent env import production.env', 'a file'],
    ['sops -d prod.env | zdd-agent env import -', 'from another program'],
  ],
  args: [{ name: '<FILE>', description: '- is stdin' }],
  options: RESTART_OPTIONS,
  async run(input, context) {
    const { importVariables } = await import('../env/change.ts');
    return importVariables(input, context);
  },
};

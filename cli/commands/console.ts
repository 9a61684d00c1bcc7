import type { Command } from '../command.ts';
import { EXEC_OPTIONS } from './exec.ts';

export const consoleVerb: Command = {
  name: 'console',
  beside: 'exec',
  summary: 'open a console in the live release',
  description:
    'Runs what zdd.yaml says under console:, such as rails console, in the folder of the live release, and a shell where it says nothing. Otherwise as exec.',
  examples: [
    ['zdd-agent console', "the app's console"],
    ['zdd-agent console --release r41', 'in another release'],
  ],
  args: [],
  options: EXEC_OPTIONS,
  async run(input, context) {
    const { runCommand } = await import('../exec/exec.ts');
    return runCommand(input, context, null);
  },
};

import type { Command } from '../command.ts';

/** @param all every verb, this one too: what is completed */
export const completion = (all: () => readonly Command[]): Command => ({
  name: 'completion',
  summary: 'completion by Tab for bash, zsh and fish',
  description:
    'Prints a script that teaches a shell the verbs and options of zdd-agent, and to ask for apps, releases and process types. Print it again after an update.',
  examples: [
    ['source <(zdd-agent completion bash)', 'in ~/.bashrc'],
    ['source <(zdd-agent completion zsh)', 'in ~/.zshrc, after compinit'],
    ['zdd-agent completion fish | source', 'in ~/.config/fish/config.fish'],
  ],
  args: [{ name: '<SHELL>', description: 'bash, zsh or fish' }],
  options: [],
  aside: true,
  async run(input, context) {
    const { printScript } = await import('../completion/script.ts');
    return printScript(context, input.arg(0) ?? '', all());
  },
});

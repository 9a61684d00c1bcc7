import type { Command } from '../command.ts';

export const configSchema: Command = {
  name: 'config schema',
  summary: 'the JSON Schema of zdd.yaml, for editors',
  description:
    'Prints the JSON Schema of zdd.yaml. Save it beside the file and put this line on top of zdd.yaml: "# yaml-language-server: $schema=zdd.schema.json". Editors with the YAML language server (VS Code with the YAML extension, Neovim, Helix, Zed, JetBrains) then complete keys, show what they mean and mark mistakes.',
  examples: [['zdd-agent config schema > zdd.schema.json', 'save it for an editor']],
  args: [],
  options: [],
  async run(_input, context) {
    const { appConfigJsonSchema } = await import('../../agent/protocol/json-schema.ts');
    const schema = appConfigJsonSchema();
    context.screen.value(schema);
    context.screen.data(JSON.stringify(schema, null, 2));
    return 0;
  },
};

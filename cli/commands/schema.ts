import type { Command } from '../command.ts';
import { UsageError } from '../usage-error.ts';

export const schema: Command = {
  name: 'schema',
  summary: 'the JSON Schema of what --json prints',
  description:
    'Prints the JSON Schema of each line that a verb prints with --json; without a verb those of all of them in one document, each under $defs by its verb. Output only grows: fields are added, none is removed or changes its meaning.',
  examples: [
    ['zdd-agent schema status', 'of one verb'],
    ['zdd-agent schema > output.schema.json', 'of all verbs'],
  ],
  args: [{ name: '[VERB]', description: 'such as status, or "config show"; default: all' }],
  options: [],
  aside: true,
  async run(input, { screen }) {
    const { outputSchema, outputSchemas, VERBS_WITH_OUTPUT } = await import('../json/outputs.ts');
    const verb = input.arg(0);
    const found = verb === undefined ? outputSchemas() : outputSchema(verb);
    if (found === null) {
      throw new UsageError(`there is no schema for "${verb}": ${VERBS_WITH_OUTPUT.join(', ')}`, [
        'zdd-agent schema --help',
      ]);
    }
    screen.value(found);
    screen.data(JSON.stringify(found, null, 2));
    return 0;
  },
};

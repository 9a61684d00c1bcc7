import { writeFileSync } from 'node:fs';
import { appConfigJsonSchema } from '../agent/protocol/json-schema.ts';
import { outputSchemas } from '../cli/json/outputs.ts';

/** `npm run schema`: the published schemas, from those that the programs check by. */

function write(name: string, schema: object): void {
  const file = new URL(`../templates/${name}`, import.meta.url);
  writeFileSync(file, `${JSON.stringify(schema, null, 2)}\n`);
}

write('zdd.schema.json', appConfigJsonSchema());
write('output.schema.json', outputSchemas());

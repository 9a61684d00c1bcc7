import { writeFileSync } from 'node:fs';
import { appConfigJsonSchema } from './json-schema.ts';

const file = new URL('../../templates/zdd.schema.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(appConfigJsonSchema(), null, 2)}\n`);

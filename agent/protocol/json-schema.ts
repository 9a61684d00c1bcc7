import { z } from 'zod';
import { appConfig } from './app-config.ts';

/** A JSON Schema, as far as this project looks into its own. */
export interface JsonSchema {
  readonly [keyword: string]: unknown;
}

/**
 * The JSON Schema of `zdd.yaml` as people write it, for editors. `templates/zdd.schema.json` is
 * this, written by `npm run schema`.
 */
export function appConfigJsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(appConfig, {
    io: 'input',
    // What the YAML language server of today's editors understands.
    target: 'draft-7',
    override: ({ jsonSchema }) => {
      // Editors warn of a format they don't know, and the pattern beside it says the same.
      if (jsonSchema.format === 'starts_with') delete jsonSchema.format;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  });
  const { $schema, ...rest } = schema;
  return {
    $schema,
    title: 'zdd.yaml',
    description: 'How zdd-agent runs an app. Every key: docs/config.md.',
    ...rest,
  };
}

/** The keys that a map may have at `path`; none when it takes any, or is no map. */
export function keysAt(schema: JsonSchema, path: readonly PropertyKey[]): string[] {
  return schemasAt(schema, path).flatMap(({ properties }) =>
    isSchema(properties) ? Object.keys(properties) : [],
  );
}

/** The schemas that a value at `path` may follow: more than one where there is a choice. */
export function schemasAt(schema: JsonSchema, path: readonly PropertyKey[]): JsonSchema[] {
  return path.reduce<JsonSchema[]>(
    (schemas, segment) => schemas.flatMap((each) => choices(below(each, segment))),
    choices(schema),
  );
}

function below({ properties, additionalProperties, items }: JsonSchema, key: PropertyKey): unknown {
  if (typeof key === 'number') return items;
  if (isSchema(properties) && Object.hasOwn(properties, key)) return properties[String(key)];
  return additionalProperties;
}

function choices(schema: unknown): JsonSchema[] {
  if (!isSchema(schema)) return [];
  return Array.isArray(schema['anyOf']) ? schema['anyOf'].flatMap(choices) : [schema];
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

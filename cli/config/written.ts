import { z } from 'zod';
import { type AppConfig, appConfig } from '../../agent/protocol/app-config.ts';
import { appConfigJsonSchema, schemasAt } from '../../agent/protocol/json-schema.ts';
import { type Health, listenOf } from '../../agent/protocol/process-type.ts';

/** A configuration as it is written in a file: durations, sizes and the like as texts. */
export type Written = string | number | boolean | Written[] | { [key: string]: Written };

export type Path = readonly (string | number)[];

/** One unit after the other from the largest, each with how many of the last make one. */
const DURATION_UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const;
const SIZE_UNITS = [
  ['G', 1024 ** 3],
  ['M', 1024 ** 2],
  ['K', 1024],
] as const;

const schema = appConfigJsonSchema();

/** What a checked configuration means, defaults and implied values included, ready to be written. */
export function writtenConfig(config: AppConfig): Written {
  return written(withImplied(config), []);
}

/** What is not in the file and has no fixed default: it follows from the process's name. */
export function withImplied(config: AppConfig): AppConfig {
  const processes = Object.fromEntries(
    Object.entries(config.processes).map(([name, type]) => {
      const { run, instances, listen: _, health, ...rest } = type;
      const listen = listenOf(name, type);
      const probed = health ?? (listen === 'none' ? undefined : usualHealth());
      return [
        name,
        // In the order in which people write them.
        {
          run,
          instances,
          listen,
          ...(probed === undefined ? {} : { health: pathFirst(probed) }),
          ...rest,
        },
      ];
    }),
  );
  return { ...config, processes };
}

function pathFirst({ path, ...rest }: Health): Health {
  return { path, ...rest };
}

/** How a listening process is probed whose `health` says nothing. */
function usualHealth() {
  const { processes } = appConfig.parse({
    app: 'usual',
    processes: { web: { run: 'usual', health: {} } },
  });
  return processes['web']?.health;
}

function written(value: unknown, path: Path): Written {
  if (Array.isArray(value)) return value.map((each, index) => written(each, [...path, index]));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, inner]) => inner !== undefined)
        .map(([key, inner]) => [key, written(inner, [...path, key])]),
    );
  }
  if (typeof value === 'number') return numberOf(value, path);
  return scalar.parse(value);
}

const scalar = z.union([z.string(), z.boolean()]);

/** A number stays one where the file has one; elsewhere it takes the form the file wants. */
function numberOf(value: number, path: Path): Written {
  const schemas = schemasAt(schema, path);
  if (schemas.some(({ type }) => type === 'integer' || type === 'number')) return value;
  const patterns = schemas.flatMap(({ pattern }) => (typeof pattern === 'string' ? [pattern] : []));
  const forms = [inUnits(value, DURATION_UNITS), `${value}/s`, `${value}%`, inSize(value)];
  const fitting = forms.find((form) => patterns.some((pattern) => new RegExp(pattern).test(form)));
  return fitting ?? value;
}

/** `1m30s`, exactly: what reads it gets the same number again. */
function inUnits(value: number, units: readonly (readonly [string, number])[]): string {
  let rest = value;
  let text = '';
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text === '' ? '0s' : text;
}

/** In the largest unit that has no remainder. */
function inSize(value: number): string {
  const unit = SIZE_UNITS.find(([, size]) => value % size === 0);
  return unit === undefined ? String(value) : `${value / unit[1]}${unit[0]}`;
}

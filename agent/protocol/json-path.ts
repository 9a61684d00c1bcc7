/** One step into a JSON value: a key of a map, or a place in a list. */
export type JsonStep = string | number;

const STEP = /\.?([A-Za-z_][A-Za-z0-9_-]*)|\[(\d{1,6})\]|\[(?:"([^"\]]+)"|'([^'\]]+)')\]/y;

/**
 * Reads a path into a JSON answer: `data.items[0].id`, with or without a `$.` before it, and
 * `["a key"]` for keys with other characters. Null when it is none.
 */
export function readJsonPath(text: string): readonly JsonStep[] | null {
  const rest = text.replace(/^\$(?=[.[]|$)/, '');
  if (/^\./.test(text)) return null;
  const steps: JsonStep[] = [];
  STEP.lastIndex = 0;
  for (let at = 0; at < rest.length; at = STEP.lastIndex) {
    const [, key, index, quoted, single] = STEP.exec(rest) ?? [];
    const step = key ?? quoted ?? single ?? (index === undefined ? undefined : Number(index));
    if (step === undefined) return null;
    steps.push(step);
  }
  return steps.length === 0 && text !== '$' ? null : steps;
}

/** What stands there; undefined when nothing does. */
export function valueAt(value: unknown, steps: readonly JsonStep[]): unknown {
  return steps.reduce<unknown>((inner, step) => {
    if (typeof inner !== 'object' || inner === null || !Object.hasOwn(inner, step))
      return undefined;
    return Reflect.get(inner, step);
  }, value);
}

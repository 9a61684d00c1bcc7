import { UsageError } from './usage-error.ts';

/** What was typed after the verb, read with its type; each reader refuses what does not fit. */
export interface Input {
  arg(index: number): string | undefined;
  /** The argument of this place and all after it. */
  rest(index: number): string[];
  flag(name: string): boolean;
  /** What was said of `--NAME` and `--no-NAME`; undefined when neither. */
  choice(name: string): boolean | undefined;
  text(name: string): string | undefined;
  /** The values of an option that takes several: `--allow <networks...>`. */
  texts(name: string): readonly string[];
  /** A whole number of at least `min`. */
  count(name: string, min: number): number | undefined;
  /** `30s`, `1h30m`; in ms. */
  duration(name: string): Promise<number | undefined>;
  /** As `duration`, for an option that may stand without its value; then it means `usual`. */
  optionalDuration(name: string, usual: number): Promise<number | undefined>;
}

/** @param verb named in usage errors: the help of this verb is what to read next. */
export function readInput(
  verb: string,
  args: readonly (string | undefined)[],
  options: Readonly<Record<string, unknown>>,
): Input {
  const refuse = (message: string): UsageError =>
    new UsageError(message, [`zdd-agent ${verb} --help`]);
  const text = (name: string): string | undefined => {
    const value = options[camel(name)];
    return typeof value === 'string' ? value : undefined;
  };
  const duration = async (name: string): Promise<number | undefined> => {
    const value = text(name);
    if (value === undefined) return undefined;
    const { parseDuration } = await import('../agent/protocol/duration.ts');
    const ms = parseDuration(value);
    if (ms === undefined) {
      throw refuse(`--${name}: expected a duration such as 30s or 10m, got "${value}"`);
    }
    return ms;
  };
  return {
    arg: (index) => args[index],
    rest: (index) => args.slice(index).filter((word) => word !== undefined),
    flag: (name) => options[camel(name)] !== undefined && options[camel(name)] !== false,
    choice(name) {
      const value = options[camel(name)];
      return typeof value === 'boolean' ? value : undefined;
    },
    text,
    texts(name) {
      const value = options[camel(name)];
      return Array.isArray(value) ? value.map(String) : [];
    },
    count(name, min) {
      const value = text(name);
      if (value === undefined) return undefined;
      if (!/^\d{1,15}$/.test(value) || Number(value) < min) {
        throw refuse(`--${name}: expected a whole number ≥ ${min}, got "${value}"`);
      }
      return Number(value);
    },
    duration,
    async optionalDuration(name, usual) {
      return options[camel(name)] === true ? usual : duration(name);
    },
  };
}

/** `57` and `#57`, as people write the number of a deployment. */
export function readDeploymentId(text: string): number {
  const digits = /^#?(\d{1,9})$/.exec(text)?.[1];
  if (digits === undefined) {
    throw new UsageError(`expected the number of a deployment such as 57, got "${text}"`);
  }
  return Number(digits);
}

/** The name under which commander keeps `--probe-timeout`. */
function camel(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

import { redact, secretsOf } from '../redact.ts';

/**
 * The values that smoke checks work with: what earlier checks have saved, and the environment of the
 * app. All of them are secrets, for as long as the checks run and in whatever is told of them.
 */
export class SmokeValues {
  readonly #saved = new Map<string, string>();
  readonly #environment: Readonly<Record<string, string>>;
  readonly #secrets: Set<string>;

  /** @param kept variables that the host keeps: secrets wherever they turn up */
  constructor(
    environment: Readonly<Record<string, string>>,
    kept: Readonly<Record<string, string>>,
  ) {
    this.#environment = environment;
    this.#secrets = new Set(secretsOf(kept));
  }

  save(name: string, value: string): void {
    this.#saved.set(name, value);
    if (value !== '') this.#secrets.add(value);
  }

  /** What stands for `${name}`; undefined when nobody has set it. */
  get(name: string): string | undefined {
    const value = name.startsWith('env.')
      ? this.#environment[name.slice(4)]
      : this.#saved.get(name);
    // A variable of zdd.yaml becomes a secret where it is sent as one.
    if (value !== undefined && value !== '') this.#secrets.add(value);
    return value;
  }

  /** A text without any of them. */
  redact(text: string): string {
    return redact(text, this.#secrets);
  }
}

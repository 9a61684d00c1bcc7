/** A line that cannot be taken, and why. Never what stands there: it may be a secret. */
export interface DotenvProblem {
  readonly line: number;
  readonly what: string;
}

export interface Dotenv {
  readonly values: Readonly<Record<string, string>>;
  /** All of them; with any, `values` is not to be used. */
  readonly problems: readonly DotenvProblem[];
}

const ASSIGNMENT = /^[ \t]*(?:export[ \t]+)?([^\s=#'"]+)[ \t]*=[ \t]*/;
/** Blank, or a comment. */
const NOTHING = /^[ \t]*(#|$)/;
const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  '"': '"',
  '\\': '\\',
  $: '$',
  '`': '`',
};

/**
 * Reads a file of variables. Other readers of such files pass over lines they cannot read and do
 * not agree on backslashes; this one refuses what could be read in two ways, so that no secret is
 * lost or changed without a word. The rules are in docs/env.md.
 */
export function parseDotenv(text: string): Dotenv {
  const reader = new Reader(text.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n'));
  return reader.read();
}

/** Values as `parseDotenv` reads them. */
export function formatDotenv(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${quoted(value)}\n`)
    .join('');
}

function quoted(value: string): string {
  if (/^[\w./:@%+,=-]*$/.test(value)) return value;
  const escaped = value.replaceAll(/[\\"$`\n\r\t]/g, (letter) => {
    const found = Object.entries(ESCAPES).find(([, meant]) => meant === letter);
    return `\\${found?.[0] ?? letter}`;
  });
  return `"${escaped}"`;
}

class Reader {
  readonly #text: string;
  readonly #values = new Map<string, string>();
  readonly #lines = new Map<string, number>();
  readonly #problems: DotenvProblem[] = [];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): Dotenv {
    while (this.#at < this.#text.length) this.#statement();
    return { values: Object.fromEntries(this.#values), problems: this.#problems };
  }

  #statement(): void {
    const line = this.#line();
    const rest = this.#restOfLine();
    if (!NOTHING.test(rest)) this.#assignment(line, rest);
    this.#nextLine();
  }

  #assignment(line: number, rest: string): void {
    const [head, name] = ASSIGNMENT.exec(rest) ?? [];
    if (head === undefined || name === undefined) {
      this.#refuse(line, 'expected NAME=value');
      return;
    }
    this.#at += head.length;
    const value = this.#value(line);
    if (value === null) return;
    const before = this.#lines.get(name);
    if (before !== undefined) this.#refuse(line, `${name} stands in line ${before} already`);
    this.#lines.set(name, line);
    this.#values.set(name, value);
  }

  /** @returns null when it cannot be read */
  #value(line: number): string | null {
    const quote = this.#text[this.#at];
    if (quote !== "'" && quote !== '"') {
      // A "#" begins a comment only after a space: it is usual in passwords and addresses.
      const plain = this.#restOfLine();
      this.#at += plain.length;
      return plain.replace(/(^|[ \t])#.*$/, '').trim();
    }
    this.#at += 1;
    const value = quote === "'" ? this.#single() : this.#double(line);
    if (value === null) {
      this.#refuse(line, `the quote ${quote} is not closed`);
      this.#at = this.#text.length;
      return null;
    }
    if (NOTHING.test(this.#restOfLine())) return value;
    this.#refuse(line, 'something stands after the closing quote');
    return null;
  }

  #single(): string | null {
    const end = this.#text.indexOf("'", this.#at);
    if (end < 0) return null;
    const value = this.#text.slice(this.#at, end);
    this.#at = end + 1;
    return value;
  }

  #double(line: number): string | null {
    let value = '';
    for (;;) {
      const letter = this.#text[this.#at];
      this.#at += 1;
      if (letter === undefined) return null;
      if (letter === '"') return value;
      if (letter !== '\\') {
        value += letter;
        continue;
      }
      const letterAfter = this.#text[this.#at] ?? '';
      this.#at += 1;
      const meant = ESCAPES[letterAfter];
      if (meant === undefined) {
        this.#refuse(line, 'in "..." a backslash stands before n r t " \\ $ ` only: use \'...\'');
      }
      value += meant ?? letterAfter;
    }
  }

  #restOfLine(): string {
    const end = this.#text.indexOf('\n', this.#at);
    return this.#text.slice(this.#at, end < 0 ? undefined : end);
  }

  #nextLine(): void {
    const end = this.#text.indexOf('\n', this.#at);
    this.#at = end < 0 ? this.#text.length : end + 1;
  }

  #line(): number {
    return this.#text.slice(0, this.#at).split('\n').length;
  }

  #refuse(line: number, what: string): void {
    this.#problems.push({ line, what });
  }
}

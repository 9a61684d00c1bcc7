import type { Command, OptionSpec } from '../command.ts';

/** What can stand at a place of the command line. */
export type Values =
  | { readonly kind: 'none' }
  | { readonly kind: 'files' }
  | { readonly kind: 'words'; readonly words: readonly string[] }
  /** Asked for at that moment: `zdd-agent complete apps`. */
  | { readonly kind: 'asked'; readonly what: Asked };

export type Asked = 'apps' | 'releases' | 'processes' | 'scales' | 'environments';

export interface OptionWords {
  /** `-f`, `--follow`. */
  readonly names: readonly string[];
  readonly summary: string;
  /** Null when it takes no value, or one that must be written as `--wait=10m`. */
  readonly value: Values | null;
}

export interface VerbWords {
  /** `push`, `config check`. */
  readonly name: string;
  readonly summary: string;
  readonly args: readonly Values[];
  readonly options: readonly OptionWords[];
}

/** Everything the three shells need to know. */
export interface Words {
  /** `config`, with what it is for. */
  readonly groups: readonly { readonly name: string; readonly summary: string }[];
  readonly verbs: readonly VerbWords[];
  /** Options that every verb takes. */
  readonly everywhere: readonly OptionWords[];
}

/**
 * @param commands all of them; the one that only completion asks is left out
 * @param everywhere the options that every verb takes
 */
export function wordsOf(commands: readonly Command[], everywhere: readonly OptionSpec[]): Words {
  const shown = commands.filter(({ name }) => name !== 'complete');
  const groups = new Map<string, string[]>();
  for (const { name } of shown) {
    const [group = '', verb] = name.split(' ');
    if (verb !== undefined) groups.set(group, [...(groups.get(group) ?? []), verb]);
  }
  return {
    groups: [...groups].map(([name, verbs]) => ({ name, summary: verbs.join(', ') })),
    verbs: shown.map(({ name, summary, args, options }) => ({
      name,
      summary,
      args: args.flatMap(({ name: argument }) =>
        Array.from({ length: argument.includes('...') ? REPEATED : 1 }, () => valuesOf(argument)),
      ),
      options: options.map(({ flags, description }) => optionOf(flags, description)),
    })),
    everywhere: [...everywhere, HELP].map(({ flags, description }) => optionOf(flags, description)),
  };
}

/** How often a word is offered for an argument that may be repeated. */
const REPEATED = 8;

/** Options whose value is declared as a mere `<name>`. */
const BY_OPTION: Readonly<Record<string, Values>> = {
  '--app': { kind: 'asked', what: 'apps' },
  '--process': { kind: 'asked', what: 'processes' },
  '--environment': { kind: 'asked', what: 'environments' },
};

/** Every verb has it from commander. */
const HELP: OptionSpec = { flags: '-h, --help', description: 'show help' };

/** `-n, --lines <count>`; a value in `[...]` may be left out and so is no word of its own. */
function optionOf(flags: string, summary: string): OptionWords {
  const names = flags.split(/[ ,|]+/).filter((word) => word.startsWith('-'));
  const value = /<[^>]+>/.exec(flags)?.[0];
  if (value === undefined) return { names, summary, value: null };
  const known = names.map((name) => BY_OPTION[name]).find((each) => each !== undefined);
  return { names, summary, value: known ?? valuesOf(value) };
}

/** By the name of a value in its declaration: `[RELEASE]`, `<release>`, `<path>`. */
function valuesOf(declared: string): Values {
  const name = declared.replaceAll(/[[\]<>.]/g, '').toLowerCase();
  switch (name) {
    case 'app':
      return { kind: 'asked', what: 'apps' };
    case 'release':
      return { kind: 'asked', what: 'releases' };
    case 'process':
    case 'type':
      return { kind: 'asked', what: 'processes' };
    case 'process=n':
      return { kind: 'asked', what: 'scales' };
    case 'environment':
    case 'env':
      return { kind: 'asked', what: 'environments' };
    case 'path':
    case 'file':
    case 'folder':
      return { kind: 'files' };
    case 'shell':
      return { kind: 'words', words: ['bash', 'zsh', 'fish'] };
    default:
      return { kind: 'none' };
  }
}

/** A text inside single quotes of bash and zsh. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

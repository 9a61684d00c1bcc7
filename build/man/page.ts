/** A piece of a section. */
export type Block =
  | { readonly kind: 'text'; readonly text: string }
  /** A heading below the section's. */
  | { readonly kind: 'heading'; readonly text: string }
  /** A term with its meaning: an option, a file, a code. */
  | { readonly kind: 'term'; readonly term: string; readonly text: string }
  /** Lines as they are typed. */
  | { readonly kind: 'lines'; readonly lines: readonly string[] };

/** One manual page. */
export interface Page {
  readonly name: string;
  readonly section: 1 | 8;
  /** What stands in the list of apropos(1). */
  readonly summary: string;
  readonly synopsis: readonly string[];
  readonly sections: ReadonlyArray<readonly [title: string, blocks: readonly Block[]]>;
}

/** Writes a page in the macros of man(7). */
export function writePage(page: Page, version: string, date: Date): string {
  const { name, section, summary, synopsis, sections } = page;
  const day = date.toISOString().slice(0, 10);
  return [
    `.TH ${quoted(name.toUpperCase())} ${section} "${day}" ${quoted(`zdd-agent ${version}`)}`,
    // No hyphens in commands, no stretched lines.
    '.nh',
    '.ad l',
    '.SH NAME',
    `${escaped(name)} \\- ${escaped(summary)}`,
    '.SH SYNOPSIS',
    ...joined(synopsis.map((line) => [escaped(line)])),
    ...sections.flatMap(([title, blocks]) => [
      `.SH ${quoted(title)}`,
      ...blocks.flatMap((block, index) => write(block, blocks[index - 1])),
    ]),
    '',
  ].join('\n');
}

function write(block: Block, before: Block | undefined): readonly string[] {
  switch (block.kind) {
    case 'text': {
      // Straight after a heading there is a gap already.
      const gap = before === undefined || before.kind === 'heading' ? [] : ['.PP'];
      return [...gap, ...filled(block.text)];
    }
    case 'heading':
      return [`.SS ${quoted(block.text)}`];
    case 'term':
      return ['.TP', `\\fB${inline(block.term)}\\fR`, ...filled(block.text)];
    case 'lines':
      return ['.PP', '.RS 4', '.nf', ...block.lines.map(escaped), '.fi', '.RE'];
  }
}

/** Lines with a break between each two. */
function joined(groups: readonly (readonly string[])[]): readonly string[] {
  return groups.flatMap((group, index) => (index === 0 ? group : ['.br', ...group]));
}

/** Text in source lines of at most 80 characters, as far as its words allow. */
function filled(text: string): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ').map(inline)) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length > 78) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.map(guarded);
}

function escaped(text: string): string {
  return guarded(inline(text));
}

/** A line that begins like a macro is none. */
function guarded(line: string): string {
  return /^[.']/.test(line) ? `\\&${line}` : line;
}

/** A minus stays one that can be pasted. */
function inline(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-');
}

function quoted(text: string): string {
  return `"${inline(text).replaceAll('"', '\\(dq')}"`;
}

import { ZddError } from '../../protocol/errors.ts';

/** The line that opens the managed region. */
export const BEGIN_MARKER =
  '# >>> zdd-agent: managed region, rewritten by the agent; change nothing below >>>';
/** The line that ends it. */
export const END_MARKER = '# <<< zdd-agent: end of the managed region <<<';

/** A line that somebody made from a marker: too close to be chance, not equal to it. */
const NEARLY = /(>>>|<<<)\s*zdd-agent|zdd-agent: (end of the )?managed region/i;

/** A file cut in three; `before + region + after` is the file, byte for byte. */
export interface Cut {
  readonly before: string;
  /** From the first marker to the end of the second, without the line end that follows it. */
  readonly region: string;
  readonly after: string;
  /** Number of the region's first line in the file, from 1. */
  readonly firstLine: number;
}

/**
 * Finds the managed region.
 * @returns undefined when the file has none
 * @throws ZDD_HAPROXY_REGION_BROKEN for a marker that is damaged, doubled, alone or out of order
 */
export function findRegion(text: string): Cut | undefined {
  const begins: Mark[] = [];
  const ends: Mark[] = [];
  for (const { raw, offset } of linesAboutUs(text)) {
    const isBegin = raw.trimEnd() === BEGIN_MARKER;
    const isEnd = raw.trimEnd() === END_MARKER;
    if (!isBegin && !isEnd && !NEARLY.test(raw)) continue;
    const mark = { line: lineAt(text, offset), offset, text: raw.trimEnd() };
    if (isBegin) begins.push(mark);
    else if (isEnd) ends.push(mark);
    else throw broken('A marker line was changed.', [mark]);
  }
  const [begin, ...moreBegins] = begins;
  const [end, ...moreEnds] = ends;
  if (begin === undefined && end === undefined) return undefined;
  if (begin === undefined || end === undefined) {
    const alone = [begin, end].filter((mark) => mark !== undefined);
    throw broken('One of the two marker lines is missing.', alone);
  }
  if (moreBegins.length + moreEnds.length > 0) {
    throw broken('A marker line is there more than once.', [...begins, ...ends]);
  }
  if (end.offset < begin.offset) throw broken('The marker lines are out of order.', [end, begin]);
  const to = end.offset + END_MARKER.length;
  return {
    before: text.slice(0, begin.offset),
    region: text.slice(begin.offset, to),
    after: text.slice(to),
    firstLine: begin.line,
  };
}

/**
 * Puts `body` between the markers. Every byte outside them stays as it is; a file without markers
 * gets the region at its end.
 * @throws ZDD_HAPROXY_REGION_BROKEN
 */
export function replaceRegion(text: string, body: string): string {
  const region = `${BEGIN_MARKER}\n${body}${END_MARKER}`;
  const cut = findRegion(text);
  if (cut !== undefined) return cut.before + region + cut.after;
  const gap = text === '' ? '' : text.endsWith('\n') ? '\n' : '\n\n';
  return `${text}${gap}${region}\n`;
}

/** Lines that name us: of half a megabyte they are all that can be a marker. */
function* linesAboutUs(text: string): Generator<{ raw: string; offset: number }> {
  let done = 0;
  for (const { index } of text.matchAll(/zdd-agent/gi)) {
    if (index < done) continue;
    const offset = text.lastIndexOf('\n', index) + 1;
    const end = text.indexOf('\n', index);
    done = end < 0 ? text.length : end;
    yield { raw: text.slice(offset, done), offset };
  }
}

function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at >= 0 && at < offset; at = text.indexOf('\n', at + 1)) {
    line += 1;
  }
  return line;
}

interface Mark {
  readonly line: number;
  readonly offset: number;
  readonly text: string;
}

function broken(message: string, marks: readonly Mark[]): ZddError {
  return new ZddError(
    'ZDD_HAPROXY_REGION_BROKEN',
    `${message} The agent does not guess what is its own in haproxy.cfg.`,
    {
      evidence: [
        ...marks.map(({ line, text }) => [`line ${line}`, text] as const),
        ['first marker', BEGIN_MARKER],
        ['second marker', END_MARKER],
      ],
      tries: ['grep -n zdd-agent /etc/haproxy/haproxy.cfg'],
    },
  );
}
